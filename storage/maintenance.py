"""Upkeep: sizes, parameters that nobody needs, and the inspection of the database itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, select, text, update

from tapeworks.storage.actors import current_actor
from tapeworks.storage.claims import is_deserted, wait_for_writers
from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import DatabaseReadOnly, RightMissing
from tapeworks.storage.records import EvaluationRecord, Metric, RunRecord, RunStatus, best
from tapeworks.storage.rows import all_of, fetch, note
from tapeworks.storage.tables import checkpoints, evaluations, metadata, runs

_FINISHED = [status for status in RunStatus if status.is_finished]

#: How often each is tried; the fastest counts, for the first one connects.
TRIES = 3

#: What of PostgreSQL decides whether a commit survives, and what a text may hold.
POSTGRESQL_SETTINGS = ("fsync", "full_page_writes", "synchronous_commit", "server_encoding")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """Checkpoints of one run that are, or would be, removed."""

    #: The run.
    run_id: str
    #: What people call it.
    name: str | None
    #: After so many iterations each.
    checkpoints: list[int]
    #: Of their parameters and optimizer states.
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSize:
    """Rows and bytes of one table."""

    #: Its name.
    table: str
    #: How many it has.
    rows: int
    #: With its indexes and everything that belongs to it.
    bytes: int


def prune(
    database: Database, ended_before: datetime, keep_best: Metric | None, *, dry_run: bool
) -> list[Pruned]:
    """Remove checkpoints of runs that ended before then, a transaction for each run.

    The initial and the newest parameters stay, from which everything can be computed again, and
    those of the best evaluation where that is wanted. A dry run removes nothing.
    """
    ended = runs.c.status.in_(_FINISHED) & (runs.c.ended_at < ended_before)
    query = all_of(RunRecord).where(ended).order_by(runs.c.created_at, runs.c.id)
    with database.read() as connection:
        found = fetch(connection, RunRecord, query)
    done = (_prune_run(database, run, keep_best, dry_run=dry_run) for run in found)
    return [pruned for pruned in done if pruned.checkpoints]


def _prune_run(
    database: Database, run: RunRecord, keep_best: Metric | None, *, dry_run: bool
) -> Pruned:
    now = database.now()
    with database.read() if dry_run else database.write() as connection:
        if not dry_run:
            wait_for_writers(connection, run.id)
        sizes = dict(_sizes(connection, run.id))
        unneeded = sorted(set(sizes) - _iterations_to_keep(connection, run, sizes, keep_best))
        size = sum(sizes[completed] for completed in unneeded)
        if unneeded and not dry_run:
            _remove(connection, run, unneeded, now)
    return Pruned(run_id=run.id, name=run.name, checkpoints=unneeded, bytes=size)


def _sizes(connection: Connection, run_id: str) -> Iterator[tuple[int, int]]:
    """After how many iterations a checkpoint is, and its bytes."""
    state = func.coalesce(func.length(checkpoints.c.optimizer_state), 0)
    columns = checkpoints.c.completed_iterations, func.length(checkpoints.c.parameters) + state
    for row in connection.execute(select(*columns).where(checkpoints.c.run_id == run_id)):
        yield row[0], row[1]


def _iterations_to_keep(
    connection: Connection, run: RunRecord, sizes: dict[int, int], keep_best: Metric | None
) -> set[int]:
    kept = {run.first_iteration, max(sizes, default=run.first_iteration)}
    if keep_best:
        query = all_of(EvaluationRecord).where(evaluations.c.run_id == run.id)
        of_run = fetch(
            connection, EvaluationRecord, query.order_by(evaluations.c.completed_iterations)
        )
        # Of a network that predicts nothing no accuracy is best, but a loss.
        found = best(of_run, keep_best) or best(of_run, Metric.LOSS)
        kept |= {found.completed_iterations} if found else set()
    return kept


def _remove(connection: Connection, run: RunRecord, completed: list[int], now: datetime) -> None:
    of_run = checkpoints.c.run_id == run.id
    unneeded = checkpoints.c.completed_iterations.in_(completed)
    connection.execute(delete(checkpoints).where(of_run, unneeded))
    connection.execute(update(runs).where(runs.c.id == run.id).values(pruned_at=now))
    count = "1 checkpoint" if len(completed) == 1 else f"{len(completed)} checkpoints"
    note(connection, run.id, now, "pruned", f"{count} removed", current_actor())


def table_sizes(database: Database) -> list[TableSize]:
    """Rows and bytes of every table, the largest first."""
    with database.read() as connection:
        found = [
            TableSize(
                table=table.name,
                rows=connection.scalar(select(func.count()).select_from(table)) or 0,
                bytes=_bytes_of(connection, table.name),
            )
            for table in metadata.sorted_tables
        ]
    return sorted(found, key=lambda size: -size.bytes)


def _bytes_of(connection: Connection, table: str) -> int:
    if connection.dialect.name == "postgresql":
        size = connection.scalar(text("SELECT pg_total_relation_size(:table)"), {"table": table})
    else:
        query = (
            "SELECT sum(pgsize) FROM dbstat WHERE aggregate = TRUE AND name IN "
            "(SELECT name FROM sqlite_schema WHERE tbl_name = :table)"
        )
        size = connection.scalar(text(query), {"table": table})
    return int(size or 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """The time that the database takes, in seconds."""

    read_seconds: float
    commit_seconds: float | None  #: None: not all that its owner may is possible
    takes_nothing: bool = False  #: it is only read, whatever a user may


def latency(database: Database) -> Latency:
    """Return how long a read and a commit take. What is written is what stands there already."""
    read_seconds = _fastest(lambda: _read_nothing(database))
    try:
        commit_seconds = _fastest(database.check_writable)
    except (DatabaseReadOnly, RightMissing) as refusal:
        takes_nothing = isinstance(refusal, DatabaseReadOnly)
        return Latency(read_seconds=read_seconds, commit_seconds=None, takes_nothing=takes_nothing)
    return Latency(read_seconds=read_seconds, commit_seconds=commit_seconds)


def postgresql_settings(database: Database) -> dict[str, str]:
    """The server's settings that matter."""
    rows = text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)")
    with database.read() as connection:
        found = connection.execute(rows, {"names": list(POSTGRESQL_SETTINGS)})
        return {row.name: row.setting for row in found}


def list_queued_runs(database: Database) -> list[RunRecord]:
    """The runs that wait for a scheduler, the oldest first."""
    return _with_status(database, RunStatus.QUEUED)


def list_deserted_runs(database: Database) -> list[RunRecord]:
    """The runs that are marked as running, but that nobody drives."""
    now = database.now()
    return [run for run in _with_status(database, RunStatus.RUNNING) if is_deserted(run, now)]


def _with_status(database: Database, status: RunStatus) -> list[RunRecord]:
    wanted = all_of(RunRecord).where(runs.c.status == status).order_by(runs.c.created_at)
    with database.read() as connection:
        return fetch(connection, RunRecord, wanted)


def _read_nothing(database: Database) -> None:
    with database.read() as connection:
        connection.execute(text("SELECT 1"))


def _fastest(attempt: Callable[[], None]) -> float:
    taken = []
    for _ in range(TRIES):
        began = time.perf_counter()
        attempt()
        taken.append(time.perf_counter() - began)
    return min(taken)
