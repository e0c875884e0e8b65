"""Queries of a PostgreSQL server, in a read-only transaction, with one deadline for the whole."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from tapeworks.storage.connection.liveness import allowing
from tapeworks.storage.errors import NotReadOnly, QueryTimeout
from tapeworks.storage.queries.listing import Listing, Value, plain
from tapeworks.storage.queries.query_limits import Statement, collect_listing, size_of
from tapeworks.storage.queries.refusals import Question, translate_query_errors

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import Connection

    from tapeworks.storage.connection.database import Database

#: Of one transaction: times as on SQLite, a limit of time that holds where this process dies, and
#: plans for all rows.
_SETTINGS = "SELECT set_config('TimeZone', 'UTC', true), \
set_config('statement_timeout', '{milliseconds}', true), \
set_config('cursor_tuple_fraction', '1', true)"

#: The cursor of the query.
_CURSOR = "tapeworks_query"

#: Rows of a fetch, and about how many bytes.
_FETCHED_ROWS = 10_000
_FETCHED_BYTES = 2**22

#: Seconds that a server may take to cancel a query before its connection is cut.
CANCEL_SECONDS = 2.0


def ask_postgresql(database: Database, statement: Statement, question: Question) -> Listing:
    """Return what the statement finds.

    The statement becomes a cursor's, which can be nothing but one query. Afterwards the connection
    is closed, so that nothing of it meets another user. Raises `QueryError`, or SQLAlchemy's form
    of a driver's error.
    """
    with database.apart() as connection:
        connection.execution_options(postgresql_readonly=True)
        connection.begin()  # and never ended in order: the server does it when we hang up
        milliseconds = max(1, round(statement.seconds * 1000))
        connection.exec_driver_sql(_SETTINGS.format(milliseconds=milliseconds))
        with (
            allowing(connection, statement.seconds + 2 * CANCEL_SECONDS),
            translate_query_errors(question, statement),
            _driver_errors(connection, statement) as driver,
        ):
            return _ask(database, driver, statement)


@contextmanager
def _driver_errors(connection: Connection, statement: Statement) -> Iterator[psycopg.Connection]:
    """The driver's connection, whose errors are raised as SQLAlchemy's."""
    import psycopg

    driver: Any = connection.connection.driver_connection
    try:
        yield driver
    except psycopg.Error as error:
        raise DBAPIError.instance(statement.sql, None, error, psycopg.Error) from error


def _ask(database: Database, driver: psycopg.Connection, statement: Statement) -> Listing:
    with (
        _Deadline(driver, statement.seconds) as deadline,
        database.ending(deadline.cancel),
        driver.cursor(_CURSOR) as cursor,
    ):
        cursor.execute(statement.sql, statement.parameters)
        if cursor.description is None:
            raise NotReadOnly("it gives no rows")
        columns = [column.name for column in cursor.description]
        with closing(_rows(driver, statement.limit)) as rows:
            return collect_listing(columns, deadline.limit_time(rows))


def _rows(
    driver: psycopg.Connection, limit: int | None
) -> Generator[tuple[Value, ...], None, None]:
    """The rows, in fetches of as many as fit: the server stores a fetch before it sends it.

    They arrive one by one, so that no more than one of them is held before it is counted.
    """
    count, size, wanted = 0, 0, 1
    while limit is None or count < limit:
        wanted = wanted if limit is None else min(wanted, limit - count)
        before = count
        with driver.cursor() as cursor:
            for found in cursor.stream(f"FETCH FORWARD {wanted} FROM {_CURSOR}".encode()):
                row = tuple(map(plain, found))
                count, size = count + 1, size + size_of(row)
                yield row
        if count - before < wanted:
            return
        wanted = max(1, min(_FETCHED_BYTES * count // max(size, 1), _FETCHED_ROWS, 4 * wanted))


class _Deadline:
    """Ends what its connection does when its time is over, whatever that has set or started."""

    def __init__(self, driver: psycopg.Connection, seconds: float) -> None:
        self._driver, self._seconds = driver, seconds
        self._left = threading.Event()
        self._is_over = False
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Deadline:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._left.set()
        self._thread.join()
        if self._is_over:
            raise QueryTimeout(self._seconds)

    def limit_time(self, rows: Iterator[tuple[Value, ...]]) -> Iterator[tuple[Value, ...]]:
        """The rows until the time is over."""
        for row in rows:
            if self._is_over:
                raise QueryTimeout(self._seconds)
            yield row

    def cancel(self) -> None:
        """Ask the server to end what the connection does."""
        import psycopg

        with suppress(psycopg.Error):
            self._driver.cancel_safe(timeout=CANCEL_SECONDS)

    def _watch(self) -> None:
        if self._left.wait(self._seconds):
            return
        self._is_over = True
        self.cancel()
        if not self._left.wait(CANCEL_SECONDS):
            self._cut()

    def _cut(self) -> None:
        """Shut the connection's socket down, on which its thread waits."""
        import psycopg  # which may have closed it meanwhile

        with (
            suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(self._driver.fileno())) as end,
        ):
            end.shutdown(socket.SHUT_RDWR)
