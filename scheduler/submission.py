"""New runs: all of each is stored in SQL, but for the images, which are named."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model import datasets, optimizers, parameters
from model.config import RunConfig, run_config
from model.errors import ConfigurationError
from model.parameters import Arrays
from storage.history import History
from storage.queue import NewRun
from storage.records import RunRecord

#: Runs that one grid may have: more are a slip of the keyboard.
LARGEST_GRID = 1000


def initial_parameters(config: RunConfig, init_from: Path | None) -> Arrays:
    """Given parameters, else ones drawn with the run's seed.

    Raises `ParametersError` for given parameters that do not fit.
    """
    if init_from is None:
        return parameters.initial(config.network, config.seed)
    return parameters.read_file(init_from, config.network)


def new_run(config: RunConfig, initial: Arrays, *, name: str | None, **described: Any) -> NewRun:
    """A run to submit; `described` are other fields of a `NewRun`, such as its priority."""
    datasets.check_name(config.dataset)
    resolved = _resolved(config)
    payload = parameters.to_bytes(initial)
    state = optimizers.state_bytes(optimizers.initial_state(resolved))
    begun: dict[str, Any] = {"optimizer_state": state}
    return NewRun(
        name=name,
        configuration=resolved.model_dump(mode="json"),
        iterations=resolved.iterations,
        parameters=payload,
        parameters_digest=parameters.digest(payload),
        **begun | described,
    )


def submit(
    history: History,
    config: RunConfig,
    initial: Arrays,
    *,
    name: str | None = None,
    **described: Any,
) -> RunRecord:
    """Store a run with its initial parameters, for a scheduler to take if it is queued."""
    return history.queue.submit([new_run(config, initial, name=name, **described)])[0]


def grid(values: Mapping[str, Any], vary: Mapping[str, Sequence[Any]]) -> list[RunConfig]:
    """A configuration for every combination of the varied settings, the last one varied fastest.

    Raises `ConfigurationError` for a combination that cannot work, and for too many.
    """
    count = 1
    for choices in vary.values():
        count *= len(choices)
    if not 0 < count <= LARGEST_GRID:
        raise ConfigurationError(
            f"Expected a grid of 1 to {LARGEST_GRID} runs. Received: {count} combinations."
        )
    combinations = itertools.product(*vary.values())
    return [run_config(dict(values) | dict(zip(vary, one, strict=True))) for one in combinations]


def retry(
    history: History,
    run: RunRecord,
    *,
    after: int | None = None,
    changes: Mapping[str, Any] | None = None,
    **described: Any,
) -> RunRecord:
    """Submit a run's configuration again, with changes, from its beginning or a checkpoint.

    A new run that begins after N iterations has its parent's parameters then, and what its
    optimizer remembered unless it is given another one; it counts its own iterations on from N:
    unchanged, it gives the bits that its parent would have had. Raises `CheckpointNotFound` for
    parameters that were not kept.
    """
    config = run_config(run.configuration | dict(changes or {}))
    start = run.first_iteration if after is None else after
    if start >= config.iterations:
        raise ConfigurationError(
            f"Expected to begin before the last of {config.iterations} iterations; ask for more "
            f"with iterations. Received: after={start}."
        )
    checkpoint = history.checkpoint(run.id, start)
    source = f"Run {run.id}, after {start} iterations"
    initial = parameters.checked(
        parameters.from_bytes(checkpoint.parameters), config.network, source
    )
    kept = {"priority": run.priority, "tags": history.tags(run.id), "note": run.note}
    if config.optimizer is run_config(run.configuration).optimizer:
        kept["optimizer_state"] = checkpoint.optimizer_state
    given: dict[str, Any] = {"name": run.name} | kept | described
    new = new_run(
        config,
        initial,
        parent_id=run.id,
        parent_iterations=start or None,
        **given,
    )
    return history.queue.submit([new])[0]


def _resolved(config: RunConfig) -> RunConfig:
    """The configuration without what depends on where it is read: directory or version."""
    update: dict[str, object] = {"microbatch_size": config.network.microbatch_size}
    if config.dataset.lower().endswith(".npz"):
        update["dataset"] = str(Path(config.dataset).absolute())
    if config.data_dir:
        update["data_dir"] = str(Path(config.data_dir).absolute())
    return config.model_copy(update=update)
