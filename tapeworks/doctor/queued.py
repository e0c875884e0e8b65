"""Runs that stand still because nobody drives them."""

from __future__ import annotations

from collections.abc import Iterator

from tapeworks.doctor.findings import Finding, named, ok, problem, warning
from tapeworks.doctor.seen import Seen
from tapeworks.errors import ExitCode
from tapeworks.storage.database import Database
from tapeworks.storage.inspection import deserted_runs, queued_runs
from tapeworks.storage.owners import described

LABEL = "runs"

#: What whoever has no scheduler can do.
START = "Start one at this database and this Redis with: tapeworks scheduler"

#: What whoever names no Redis, or one that cannot be used, can do.
NAME = "Name the Redis of the schedulers with TAPEWORKS_REDIS_URL, to see whether one is there."


def check_runs(database: Database, seen: Seen | None) -> Iterator[Finding]:
    """Those in the queue without a scheduler, and those whose owner is gone."""
    queued = [run.id for run in queued_runs(database)]
    deserted = {run.id: described(run.owner) for run in deserted_runs(database)}
    is_scheduled = _is_scheduled(seen)
    if queued and not is_scheduled:
        yield _waiting(queued, is_scheduled)
    for run_id, owner in deserted.items():
        yield _deserted(run_id, owner, is_scheduled)
    if not deserted and (is_scheduled or not queued):
        yield ok(LABEL, f"{len(queued) or 'none'} in the queue; none without owner")


def _is_scheduled(seen: Seen | None) -> bool | None:
    """Whether a scheduler is there; None if that cannot be seen."""
    if seen is None or seen.schedulers is None:
        return None
    return bool(seen.schedulers)


def _waiting(queued: list[str], is_scheduled: bool | None) -> Finding:
    found = f"{len(queued)} in the queue: {named(queued)}; "
    if is_scheduled is None:
        return warning(LABEL, f"{found}whether a scheduler is there is not known", NAME)
    return problem(LABEL, f"{found}no scheduler is there", START, ExitCode.UNREACHABLE)


def _deserted(run_id: str, owner: str, is_scheduled: bool | None) -> Finding:
    found = f"{run_id} is marked as running, but its owner, {owner}, is gone or lost its lease"
    if is_scheduled:
        return warning(LABEL, found, "A scheduler with a place free takes it over: --max-runs")
    remedy = f"A scheduler would take it over, or: tapeworks train --resume {run_id}. {START}"
    return problem(LABEL, found, remedy, ExitCode.UNREACHABLE)
