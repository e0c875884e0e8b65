"""The runs that a run goes on from: a retry from a checkpoint has its parent's history before it.

Nothing is copied: what a run has not computed stays the other run's, with its ledger and digests.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection

from tapeworks.storage.errors import StateConflict
from tapeworks.storage.iterations import read_iterations
from tapeworks.storage.records import EvaluationRecord, IterationRecord, RunRecord, RunStatus
from tapeworks.storage.rows import all_of, fetch
from tapeworks.storage.tables import evaluations, runs

_UNFINISHED = [status for status in RunStatus if not status.is_finished]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor:
    """A run whose parameters after some iterations another one began with."""

    #: The run.
    run: RunRecord
    #: After how many of its iterations.
    until: int


def ancestors(connection: Connection, run: RunRecord) -> list[Ancestor]:
    """Return the runs that it goes on from, the oldest first, as far as they were not deleted."""
    found = list[Ancestor]()
    while run.parent_id and run.parent_iterations:
        until = run.parent_iterations
        parent = fetch(connection, RunRecord, all_of(RunRecord).where(runs.c.id == run.parent_id))
        if not parent:
            break
        [run] = parent
        found.insert(0, Ancestor(run=run, until=until))
    return found


def read_curve(connection: Connection, run: RunRecord) -> list[IterationRecord]:
    """Return the iterations from the first ancestor's first to the run's newest."""
    inherited = [
        record
        for ancestor in ancestors(connection, run)
        for record in read_iterations(connection, ancestor.run.id)
        if record.iteration < ancestor.until
    ]
    return inherited + read_iterations(connection, run.id)


def read_inherited_evaluations(
    connection: Connection, ancestor: Ancestor
) -> list[EvaluationRecord]:
    """Return an ancestor's evaluations of parameters that led to the other run's, in order."""
    led = evaluations.c.completed_iterations <= ancestor.until
    of_run = evaluations.c.run_id == ancestor.run.id
    query = all_of(EvaluationRecord).where(of_run, led)
    in_order = query.order_by(evaluations.c.completed_iterations)
    return fetch(connection, EvaluationRecord, in_order)


def expect_no_heirs(connection: Connection, run: RunRecord, beside: Collection[str] = ()) -> None:
    """Raise `StateConflict` if a run that has not ended looks at this one's evaluations.

    Those `beside` it do not count.
    """
    heirs = [run.id]
    for parent_id in heirs:  # grows on the way
        goes_on = (runs.c.parent_id == parent_id) & runs.c.parent_iterations.is_not(None)
        children = fetch(connection, RunRecord, all_of(RunRecord).where(goes_on))
        for child in children:
            is_unfinished = child.status in _UNFINISHED and child.id not in beside
            if is_unfinished and child.configuration.get("patience"):
                raise StateConflict(
                    f"Run {run.id} is needed by run {child.id}, which goes on from it, is "
                    f"{child.status} and ends early by its evaluations; cancel that one first."
                )
        heirs.extend(child.id for child in children)
