"""A new run, with everything in SQL that it needs: nothing refers to a file any more."""

from __future__ import annotations

from pathlib import Path

from model import parameters
from model.config import RunConfig
from model.parameters import Arrays
from storage.history import History
from storage.records import RunRecord, RunState


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
    state: RunState = RunState.QUEUED,
) -> RunRecord:
    """Store a run with its initial parameters, for a scheduler to take if it is queued."""
    # What a later version would choose must not change this run.
    resolved = config.model_copy(update={"microbatch_size": config.network.microbatch_size})
    payload = parameters.to_bytes(initial)
    return history.create_run(
        name=name,
        configuration=resolved.model_dump(mode="json"),
        iterations=resolved.iterations,
        parameters=payload,
        parameters_digest=parameters.digest(payload),
        state=state,
    )
