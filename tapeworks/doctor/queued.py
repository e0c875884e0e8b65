"""Runs that stand still because nobody drives them."""

from __future__ import annotations

from collections.abc import Iterator

from storage.database import Database
from storage.inspection import deserted_runs, queued_runs
from storage.owners import described
from tapeworks.doctor.findings import Finding, named, ok, problem, warning
from tapeworks.doctor.seen import Seen
from tapeworks.errors import ExitCode

LABEL = "runs"


def check_runs(database: Database, seen: Seen | None) -> Iterator[Finding]:
    """Those in the queue without a scheduler, and those whose owner is gone."""
    queued, deserted = queued_runs(database), deserted_runs(database)
    is_scheduled = bool(seen and (seen.schedulers or seen.schedulers is None))
    start = "Start one at this database and this Redis with: tapeworks scheduler"
    if queued and not is_scheduled:
        found = f"{len(queued)} wait in the queue, and no scheduler is there: "
        yield problem(LABEL, found + named(run.id for run in queued), start, ExitCode.UNREACHABLE)
    for run in deserted:
        found = f"{run.id} is marked as running, but nobody drives it: its owner, "
        found += f"{described(run.owner)}, is gone or has lost its lease"
        if is_scheduled:
            remedy = "A scheduler takes it over when it has a place free: --max-runs."
            yield warning(LABEL, found, remedy)
        else:
            remedy = f"A scheduler takes it over, or: tapeworks train --resume {run.id}. {start}"
            yield problem(LABEL, found, remedy, ExitCode.UNREACHABLE)
    if not deserted and (is_scheduled or not queued):
        yield ok(LABEL, f"{len(queued) or 'none'} in the queue; none without owner")
