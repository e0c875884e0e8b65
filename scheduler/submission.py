"""A new run: all of it is stored in SQL, but for the images, which are named."""

from __future__ import annotations

from pathlib import Path

from model import datasets, optimizers, parameters
from model.config import RunConfig
from model.parameters import Arrays
from storage.history import History
from storage.records import RunRecord, RunStatus


def initial_parameters(config: RunConfig, init_from: Path | None) -> Arrays:
    """Given parameters, else ones drawn with the run's seed.

    Raises `ParametersError` for given parameters that do not fit.
    """
    if init_from is None:
        return parameters.initial(config.network, config.seed)
    return parameters.read_file(init_from, config.network)


def submit(
    history: History,
    config: RunConfig,
    initial: Arrays,
    *,
    name: str | None = None,
    status: RunStatus = RunStatus.QUEUED,
) -> RunRecord:
    """Store a run with its initial parameters, for a scheduler to take if it is queued."""
    datasets.check_name(config.dataset)
    resolved = _resolved(config)
    payload = parameters.to_bytes(initial)
    return history.create_run(
        name=name,
        configuration=resolved.model_dump(mode="json"),
        iterations=resolved.iterations,
        parameters=payload,
        parameters_digest=parameters.digest(payload),
        optimizer_state=optimizers.state_bytes(optimizers.initial_state(resolved)),
        status=status,
    )


def _resolved(config: RunConfig) -> RunConfig:
    """The configuration without what depends on where it is read: directory or version."""
    update: dict[str, object] = {"microbatch_size": config.network.microbatch_size}
    if config.dataset.lower().endswith(".npz"):
        update["dataset"] = str(Path(config.dataset).absolute())
    if config.data_dir:
        update["data_dir"] = str(Path(config.data_dir).absolute())
    return config.model_copy(update=update)
