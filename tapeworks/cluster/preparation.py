"""All that is settled before a run is driven on this machine, by a command or a program."""

from __future__ import annotations

from tapeworks.cluster.forecast import Forecast
from tapeworks.cluster.redis_rights import check_roles
from tapeworks.cluster.redis_server import check_private_redis
from tapeworks.errors import UsageError
from tapeworks.model.config import RunConfig
from tapeworks.places import Places
from tapeworks.storage.history import History
from tapeworks.storage.queries.search import find_runs
from tapeworks.storage.records import RunRecord, RunStatus, iteration_count
from tapeworks.wire.exchange import Exchange
from tapeworks.workers.cores import core_count


def choose_workers(
    config: RunConfig, asked: int | None, stop_after: int | None, completed: int = 0
) -> tuple[int, str | None]:
    """Return the number of workers, and a sentence about the choice."""
    iterations = min(config.iterations, stop_after or config.iterations) - completed
    forecast = Forecast(config=config, iterations=iterations, cores=core_count())
    count = forecast.choose_workers() if asked is None else asked
    return count, forecast.explain(asked)


def check_redis(places: Places, workers: int) -> None:
    """Find out before a run is stored that it could not be driven."""
    if workers:
        places.signer()
    if workers and places.named_redis_url:
        Exchange(places.named_redis_url).check()
        check_roles(places.named_redis_url, "train", "scheduler", "worker")
    elif workers:
        check_private_redis()


def find_resumable(history: History, reference: str, stop_after: int | None) -> RunRecord:
    """Return a run that may go on. Raises `UsageError` for any other."""
    history.release_abandoned()
    run = history.find_run(reference)
    if run.status not in {RunStatus.PAUSED, RunStatus.QUEUED}:
        raise UsageError(
            f"Run {run.id} is {run.status.value}; only a paused or queued one goes on."
        )
    _check_alone(history, run, reference)
    if stop_after is not None and stop_after <= run.completed_iterations:
        raise UsageError(
            f"Run {run.id} has {run.completed_iterations} iterations already; expected a later "
            f"one to stop after. Received: stop_after={stop_after}."
        )
    return run


def _check_alone(history: History, run: RunRecord, reference: str) -> None:
    """Refuse a name that several runs share which may go on: the newest may not be meant."""
    if reference != run.name:
        return
    wanted = ["id", "name", "completed_iterations"]
    found = find_runs(history.database, status=[RunStatus.PAUSED, RunStatus.QUEUED], columns=wanted)
    named = {str(run_id): int(str(done)) for run_id, name, done in found.rows if name == reference}
    if len(named) > 1:
        told = ", ".join(f"{one} after {iteration_count(done)}" for one, done in named.items())
        raise UsageError(f"Several runs named {reference} may go on: {told}. Name one by its id.")
