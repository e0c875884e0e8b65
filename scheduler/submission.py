"""A new run, with everything in SQL that it needs: nothing refers to a file any more."""

from __future__ import annotations

from pathlib import Path

from model import parameters
from model.config import RunConfig
from storage.history import History
from storage.records import RunRecord, RunState


def submit(
    history: History,
    config: RunConfig,
    *,
    name: str | None = None,
    init_from: Path | None = None,
    state: RunState = RunState.QUEUED,
) -> RunRecord:
    """Store a run with its initial parameters: given ones, else drawn with the run's seed.

    Raises `ParametersError` for given parameters that do not fit; nothing is stored then.
    """
    resolved = config.model_copy(update={"microbatch_size": config.network.microbatch_size})
    if init_from is None:
        initial = parameters.initial(resolved.network, resolved.seed)
    else:
        initial = parameters.read_file(init_from, resolved.network)
    payload = parameters.to_bytes(initial)
    return history.create_run(
        name=name,
        configuration=resolved.model_dump(mode="json"),
        iterations=resolved.iterations,
        parameters=payload,
        parameters_digest=parameters.digest(payload),
        state=state,
    )
