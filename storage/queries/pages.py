"""Reads of what belongs to runs, a part at a time.

Iterations, ledgers and events only grow at their end, so a part stays where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import func, select

from tapeworks.storage.connection.database import Database
from tapeworks.storage.iterations import read_iterations, read_ledger
from tapeworks.storage.records import (
    EvaluationRecord,
    EventRecord,
    IterationRecord,
    LedgerRecord,
    RunRecord,
)
from tapeworks.storage.rows import all_of, fetch
from tapeworks.storage.tables import checkpoints, evaluations, events, runs, tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Neighbours of a list."""

    #: The place of the first.
    first: int
    #: How many at most.
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPlace:
    """A place among the entries of all iterations."""

    iteration: int
    #: The number of the entry within its iteration, from 0.
    entry: int

    def behind(self, entries: Sequence[LedgerRecord]) -> LedgerPlace:
        """The place behind these entries, the first of which stands here."""
        last = entries[-1].iteration
        count = sum(1 for one in entries if one.iteration == last)
        return LedgerPlace(
            iteration=last, entry=count + (self.entry if last == self.iteration else 0)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCheckpoint:
    """A checkpoint without its arrays."""

    #: 0: the initial parameters; k + 1: those after iteration k.
    completed_iterations: int
    #: SHA-256 of the parameters.
    digest: str
    #: Of parameters and optimizer state.
    bytes: int


def read_runs(database: Database, ids: Sequence[str]) -> list[tuple[RunRecord, dict[str, str]]]:
    """Return these runs with their tags, in this order, but for those that are gone."""
    with database.read() as connection:
        found = fetch(connection, RunRecord, all_of(RunRecord).where(runs.c.id.in_(ids)))
        of_runs = select(tags).where(tags.c.run_id.in_(ids)).order_by(tags.c.key)
        tagged = connection.execute(of_runs).all()
    by_id = {run.id: (run, dict[str, str]()) for run in found}
    for row in tagged:
        by_id[row.run_id][1][row.key] = row.value
    return [by_id[run_id] for run_id in ids if run_id in by_id]


def newest_event(database: Database, run_id: str) -> int | None:
    """Return what changes with every event of the run."""
    newest = select(func.max(events.c.id)).where(events.c.run_id == run_id)
    with database.read() as connection:
        found: int | None = connection.scalar(newest)
    return found


def newest_evaluation(database: Database, run_id: str) -> int | None:
    """Return what changes with every further evaluation of the run."""
    of_run = evaluations.c.run_id == run_id
    newest = select(func.max(evaluations.c.completed_iterations)).where(of_run)
    with database.read() as connection:
        found: int | None = connection.scalar(newest)
    return found


def list_iterations(database: Database, run_id: str, part: Part) -> list[IterationRecord]:
    """Iterations from the one with the number `first`."""
    with database.read() as connection:
        return read_iterations(connection, run_id, part.first, part.limit)


def list_ledger(
    database: Database, run_id: str, start: LedgerPlace, limit: int, iteration: int | None = None
) -> list[LedgerRecord]:
    """Entries of one iteration or of all, in image order."""
    rows = start.entry + limit  # no iteration is without an entry
    with database.read() as connection:
        entries = read_ledger(connection, run_id, iteration, start.iteration, rows)
        return list(islice(entries, start.entry, start.entry + limit))


def list_events(database: Database, run_id: str, part: Part) -> list[EventRecord]:
    """Events in the order in which they were written."""
    query = all_of(EventRecord).where(events.c.run_id == run_id).order_by(events.c.id)
    with database.read() as connection:
        return fetch(connection, EventRecord, query.limit(part.limit).offset(part.first))


def list_evaluations(database: Database, run_id: str, part: Part) -> list[EvaluationRecord]:
    """The evaluations, in the order of their iterations."""
    query = all_of(EvaluationRecord).where(evaluations.c.run_id == run_id)
    in_order = query.order_by(evaluations.c.completed_iterations)
    with database.read() as connection:
        return fetch(connection, EvaluationRecord, in_order.limit(part.limit).offset(part.first))


def list_stored_checkpoints(database: Database, run_id: str, part: Part) -> list[StoredCheckpoint]:
    """The checkpoints that are kept, in the order of their iterations."""
    state_bytes = func.coalesce(func.length(checkpoints.c.optimizer_state), 0)
    query = select(
        checkpoints.c.completed_iterations,
        checkpoints.c.digest,
        (func.length(checkpoints.c.parameters) + state_bytes).label("bytes"),
    ).where(checkpoints.c.run_id == run_id)
    in_order = query.order_by(checkpoints.c.completed_iterations)
    with database.read() as connection:
        rows = connection.execute(in_order.limit(part.limit).offset(part.first))
        return [StoredCheckpoint(**row._asdict()) for row in rows]
