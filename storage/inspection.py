"""Inspection of the database itself: its speed, its safety, and runs without an owner."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import text

from tapeworks.storage.claims import is_deserted
from tapeworks.storage.database import Database
from tapeworks.storage.errors import DatabaseReadOnly, RightMissing
from tapeworks.storage.records import RunRecord, RunStatus
from tapeworks.storage.rows import all_of, fetch
from tapeworks.storage.tables import runs

#: How often each is tried; the fastest counts, for the first one connects.
TRIES = 3

#: What of PostgreSQL decides whether a commit survives, and what a text may hold.
POSTGRESQL_SETTINGS = ("fsync", "full_page_writes", "synchronous_commit", "server_encoding")


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """The time that the database takes, in seconds."""

    read_seconds: float
    commit_seconds: float | None  #: None: this user may only read


def latency(database: Database) -> Latency:
    """Return how long a read and a commit take. What is written is what stands there already."""
    read_seconds = _fastest(lambda: _read_nothing(database))
    commit_seconds = None
    with suppress(DatabaseReadOnly, RightMissing):
        commit_seconds = _fastest(database.check_writable)
    return Latency(read_seconds=read_seconds, commit_seconds=commit_seconds)


def postgresql_settings(database: Database) -> dict[str, str]:
    """The server's settings that matter."""
    rows = text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)")
    with database.read() as connection:
        found = connection.execute(rows, {"names": list(POSTGRESQL_SETTINGS)})
        return {row.name: row.setting for row in found}


def queued_runs(database: Database) -> list[RunRecord]:
    """The runs that wait for a scheduler, the oldest first."""
    return _with_status(database, RunStatus.QUEUED)


def deserted_runs(database: Database) -> list[RunRecord]:
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
