"""New runs: all of each is stored in SQL, but for the images, which are named."""

from __future__ import annotations

import itertools
import json
import math
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from tapeworks.model import datasets, parameters
from tapeworks.model import update as optimizers
from tapeworks.model.config import (
    SUM_ORDER,
    RunConfig,
    extract_settings,
    record,
    restore_config,
    run_config,
)
from tapeworks.model.datasets.source import Split
from tapeworks.model.errors import ConfigurationError, NetworkNotAllowed
from tapeworks.model.given_settings import check_given_once, format_value
from tapeworks.model.networks.prepare import OF_CHECK, OF_IMAGES, Prepared, prepare
from tapeworks.scheduler.errors import other_order
from tapeworks.scheduler.footprint import describe_footprint
from tapeworks.scheduler.queueing import check_queued
from tapeworks.storage.history import History
from tapeworks.storage.records import (
    CheckpointRecord,
    RunRecord,
    RunStatus,
    iteration_count,
    resume_words,
)
from tapeworks.storage.run_queue import NewRun
from tapeworks.storage.submissions import SubmissionKey

#: Runs that one grid may have: more are a slip of the keyboard.
LARGEST_GRID = 1000


def prepare_runs(
    configs: Sequence[RunConfig],
    init_from: Path | None = None,
    load: Callable[[RunConfig], Split] = datasets.load,
) -> list[Prepared]:
    """Prepare configurations to be stored, with given parameters or those of each one's seed.

    Raises `ParametersError` for given parameters that do not fit, and like `prepare`.
    """
    for config in configs:
        datasets.check_dataset(config)
    prepared = prepare(configs, load=load)
    if init_from is None:
        return prepared
    return [
        replace(one, parameters=parameters.read_file(init_from, one.config.spec))
        for one in prepared
    ]


def new_run(prepared: Prepared, *, name: str | None, **described: Any) -> NewRun:
    """A run to submit; `described` are other fields of a `NewRun`, such as its priority."""
    resolved = _resolve_paths(prepared.config)
    payload = parameters.to_bytes(prepared.parameters)
    state = optimizers.state_bytes(optimizers.initial_state(resolved))
    begun: dict[str, Any] = {"optimizer_state": state, "network_source": prepared.source}
    return NewRun(
        name=name,
        configuration=record(resolved),
        iterations=resolved.iterations,
        parameters=payload,
        parameters_digest=parameters.digest(payload),
        **begun | described,
    )


def new_runs(
    prepared: Sequence[Prepared], *, name: str | None, is_grid: bool, **described: Any
) -> list[NewRun]:
    """Runs to submit together; in a grid a name gets their numbers: name-1, name-2, …"""
    return [
        new_run(one, name=f"{name}-{number}" if name and is_grid else name, **described)
        for number, one in enumerate(prepared, start=1)
    ]


def submit(
    history: History,
    prepared: Prepared,
    *,
    name: str | None = None,
    **described: Any,
) -> RunRecord:
    """Store a run with its initial parameters, for a scheduler to take if it is queued."""
    return history.queue.submit([new_run(prepared, name=name, **described)])[0]


def check_order(run: RunRecord) -> None:
    """Raise `CannotContinueHere` if what is computed of the run was summed in another order."""
    recorded = run.configuration.get("sum_order")
    if run.completed_iterations and recorded != SUM_ORDER:
        raise other_order(run.id, SUM_ORDER, recorded)


def grid(values: Mapping[str, Any], vary: Mapping[str, Iterable[Any]]) -> list[RunConfig]:
    """A configuration for every combination of the varied settings, the last one varied fastest.

    Raises `ConfigurationError` for a combination that cannot work or is there twice, for too many,
    and for a setting that is both given and varied.
    """
    choices = {name: list_choices(name, given) for name, given in vary.items()}
    count = math.prod(map(len, choices.values()))
    if not 0 < count <= LARGEST_GRID:
        raise ConfigurationError(
            f"Expected a grid of 1 to {LARGEST_GRID} runs. Received: {count} combinations."
        )
    check_given_once(values, choices)
    made = dict[str, RunConfig]()
    for one in itertools.product(*choices.values()):
        combination = dict(zip(choices, one, strict=True))
        config = run_config(dict(values) | combination)
        if made.setdefault(json.dumps(record(config), sort_keys=True), config) is not config:
            raise _given_twice(combination)
    return list(made.values())


def _given_twice(combination: Mapping[str, Any]) -> ConfigurationError:
    given = ", ".join(f"{name}={format_value(value)}" for name, value in combination.items())
    return ConfigurationError(
        f"Expected each combination once, as equal runs have equal bits. Received: {given} twice; "
        "leave one out."
    )


def list_choices(name: str, given: Any) -> list[Any]:
    """Return the choices, up to one more than a grid may have: an iterator may have no end.

    Raises `ConfigurationError` for what is no list.
    """
    if isinstance(given, str | bytes | Mapping | Set) or not isinstance(given, Iterable):
        raise ConfigurationError(
            f"Expected a list of choices for {name}, such as [1, 2]. "
            f"Received: {reprlib.repr(given)}."
        )
    try:
        return list(itertools.islice(given, LARGEST_GRID + 1))
    except TypeError as error:  # an array of no dimension
        raise ConfigurationError(
            f"Expected a list of choices for {name}. Received: {given}."
        ) from error


def retry(
    history: History,
    run: RunRecord,
    *,
    after: int | None = None,
    changes: Mapping[str, Any] | None = None,
    key: SubmissionKey | None = None,
    may_run_code: bool = True,
    tell: Callable[[str], None] = lambda _: None,
    **described: Any,
) -> RunRecord:
    """Submit a run's configuration again, with changes, from its beginning or a checkpoint.

    A new run that begins after N iterations has its parent's parameters then, and what its
    optimizer remembered unless it is given another one; it counts its own iterations on from N:
    unchanged, it gives the bits that its parent would have had, on the same images and the same
    kind of workers. Its patience goes on from the parent's evaluations, unless
    they had used it up. Initial parameters that were drawn are drawn with the
    new settings. A user's network is the stored one unless another is named; it is checked again if
    a setting that it depends on has changed. Raises `CheckpointNotFound` for parameters that were
    not kept, `NetworkNotAllowed` for a check that would be needed where no code may be run, and
    like `check_queued`, which tells of data sets that it cannot check.
    """
    given = dict(changes or {})
    config = run_config(_keep_settings(run, given) | given)
    start = run.first_iteration if after is None else after
    if start:
        check_order(run)
    if start >= config.iterations:
        raise ConfigurationError(
            f"Expected to begin before the last of {config.iterations} iterations; ask for more "
            f"with iterations. Received: after={start}."
        )
    checkpoint = history.checkpoint(run.id, start)
    kept: dict[str, Any] = {"name": run.name, "priority": run.priority, "note": run.note}
    kept["tags"] = history.tags(run.id)
    source = _stored_source(history, run)
    is_other = "network" in given
    if not may_run_code and _must_check(run, config, is_other=is_other):
        raise NetworkNotAllowed(
            "A network's code is neither taken nor run over HTTP, and these changes would need it "
            "checked. Retry the run on the command line: tapeworks retry "
            f"{run.id} --set NAME=VALUE"
        )
    if run.status in {RunStatus.QUEUED, RunStatus.PAUSED}:
        tell(_describe_old(run, start))
    prepared = _prepare_retry(run, config, checkpoint, source, is_other=is_other)
    check_queued([prepared], tell)
    if not start and (large := describe_footprint([prepared.config])):
        tell(large)
    new = new_run(
        prepared,
        parent_id=run.id,
        parent_iterations=start or None,
        **kept | _bound(run, config, checkpoint) | described,
    )
    return history.queue.submit([new], key)[0]


def _describe_old(run: RunRecord, start: int) -> str:
    """Say that the run could go on itself."""
    done = iteration_count(run.completed_iterations)
    return (
        f"Run {run.label} has not ended: it is {run.status} after {done}. The new run begins after "
        f"{iteration_count(start)}; to go on with the old one: {resume_words(run.id)}"
    )


def _must_check(run: RunRecord, config: RunConfig, *, is_other: bool) -> bool:
    """Check that a network of a user's would be run to retry the run so."""
    old = restore_config(run.configuration)
    if config.is_built_in and old.is_built_in:
        return False
    return is_other or not _needs_no_check(config, old)


def _needs_no_check(config: RunConfig, old: RunConfig) -> bool:
    return all(getattr(config, name) == getattr(old, name) for name in OF_CHECK)


def _keep_settings(run: RunRecord, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run; options are those of its network, and go with it."""
    settings = extract_settings(run.configuration)
    gone = {"options", "network_facts"} if "network" in changes else set()
    return {name: value for name, value in settings.items() if name not in gone}


def _stored_source(history: History, run: RunRecord) -> str | None:
    return None if run.network_digest is None else history.network_source(run.network_digest)


def _prepare_retry(
    run: RunRecord,
    config: RunConfig,
    checkpoint: CheckpointRecord,
    stored: str | None,
    *,
    is_other: bool,
) -> Prepared:
    """Take the checkpoint's parameters; draw again if initial, and the draw has changed.

    The network is that of the `stored` source unless another one is named.
    """
    old, start = restore_config(run.configuration), checkpoint.completed_iterations
    given = parameters.from_bytes(checkpoint.parameters)
    source = None if is_other else stored
    if source is not None and _needs_no_check(config, old):
        same = config.model_copy(update={"network_facts": old.network_facts})
        return Prepared(config=same, parameters=given, source=source)
    if is_other:
        [again], drawn = prepare([config]), [] if start else prepare([old], source=stored)
    else:
        again, *drawn = prepare([config] if start else [config, old], source=source)
    if drawn and parameters.digest(parameters.to_bytes(drawn[0].parameters)) == checkpoint.digest:
        return again
    if config.seed != old.seed and config.images_per_iteration is None:
        raise ConfigurationError(
            f"A retry that begins with given parameters has nothing that a seed would change. "
            f"Received: seed={config.seed}."
        )
    told = f"Run {run.id}, after {iteration_count(start)}"
    fitting = parameters.validate_parameters(given, again.config.spec, told)
    return replace(again, parameters=fitting)


def _bound(run: RunRecord, config: RunConfig, checkpoint: CheckpointRecord) -> dict[str, Any]:
    """Return what must be the same to give the bits that the parent would have had."""
    old, bound = restore_config(run.configuration), dict[str, Any]()
    if config.optimizer is old.optimizer and checkpoint.completed_iterations:
        bound["optimizer_state"] = checkpoint.optimizer_state
    if all(getattr(config, name) == getattr(old, name) for name in OF_IMAGES):
        bound["images_digest"] = run.images_digest
    if checkpoint.completed_iterations and not config.allow_mixed_workers:
        bound["fingerprint"] = run.fingerprint
    return bound


def _resolve_paths(config: RunConfig) -> RunConfig:
    """The configuration without what depends on where it is read: directory or version."""
    update: dict[str, object] = {"microbatch_size": config.images_in_a_microbatch}
    if config.dataset.lower().endswith(".npz"):
        update["dataset"] = str(Path(config.dataset).absolute())
    if config.data_dir:
        update["data_dir"] = str(Path(config.data_dir).absolute())
    return config.model_copy(update=update)
