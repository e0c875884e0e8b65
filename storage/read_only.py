"""Connections on which the database itself refuses to change anything, and to take too long."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from storage.database import Database
from storage.errors import QueryTimeout

#: What a person's query may take, unless told otherwise.
DEFAULT_SECONDS = 30.0

#: What it may be told: from about an instruction to a day.
SHORTEST_SECONDS, LONGEST_SECONDS = 0.001, 86_400.0

#: How many instructions SQLite works off between two looks at the clock: about a millisecond's.
INSTRUCTIONS = 50_000

#: What a query does on SQLite, as it tells the authorizer.
_READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}

#: Of one transaction on PostgreSQL: times as on SQLite, its limit of time, and plans for all rows.
_SETTINGS = "SELECT set_config('TimeZone', 'UTC', true), \
set_config('statement_timeout', '{milliseconds}', true), \
set_config('cursor_tuple_fraction', '1', true)"


@contextmanager
def read_only(database: Database, seconds: float) -> Iterator[Connection]:
    """A transaction on a connection of its own, for any text that may or may not be a query.

    SQLite refuses, when it compiles a statement, whatever does not only read. PostgreSQL is in a
    read-only transaction, and each statement becomes a cursor's, which can be nothing but one
    query. Afterwards the connection is closed, so that nothing of it meets another user.
    """
    guarded = _sqlite if database.is_sqlite else _postgresql
    with database.apart() as connection, guarded(connection, seconds):
        yield connection


@contextmanager
def _sqlite(connection: Connection, seconds: float) -> Iterator[None]:
    with connection.begin():
        raw: Any = connection.connection.driver_connection
        raw.execute("PRAGMA query_only = ON")
        raw.set_authorizer(_allowed)
        is_overdue = _overdue(seconds)
        raw.set_progress_handler(is_overdue, INSTRUCTIONS)
        try:
            yield
        except QueryTimeout:
            if is_overdue():
                raise
            raise KeyboardInterrupt from None  # which ends the look at the clock, unseen
        finally:
            raw.set_progress_handler(None, 0)
            raw.set_authorizer(None)


def _allowed(action: int, _: str | None, name: str | None, *__: str | None) -> int:
    reads = action in _READING and name != "load_extension"
    return sqlite3.SQLITE_OK if reads else sqlite3.SQLITE_DENY


def _overdue(seconds: float) -> Callable[[], bool]:
    deadline = time.monotonic() + seconds
    return lambda: time.monotonic() > deadline


@contextmanager
def _postgresql(connection: Connection, seconds: float) -> Iterator[None]:
    from storage.liveness import REPLY_SECONDS, allowing  # loads PostgreSQL's driver

    connection.execution_options(postgresql_readonly=True)
    with connection.begin(), allowing(connection, seconds + REPLY_SECONDS):
        milliseconds = max(1, round(seconds * 1000))
        connection.exec_driver_sql(_SETTINGS.format(milliseconds=milliseconds))
        connection.execution_options(stream_results=True)
        yield
