"""Queries of an SQLite file, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from tapeworks.storage.connection.database import Database
from tapeworks.storage.connection.sqlite_access import (
    Access,
    access_to,
    file_changed_error,
    is_empty,
    is_missing,
    stamp,
    uri_of,
)
from tapeworks.storage.errors import (
    DatabaseMissing,
    NotReadOnly,
    QueryError,
    QueryTimeout,
    QueryTooLarge,
    StorageUnreachable,
)
from tapeworks.storage.queries import query_limits as limits
from tapeworks.storage.queries import sqlite_child
from tapeworks.storage.queries.listing import Listing
from tapeworks.storage.queries.query_limits import Statement, answer_too_large

#: Seconds that the process may take to start, and to write what it has found.
STARTING_SECONDS = 30.0

#: Of the environment, what the process may need; it needs no passwords.
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "SQLITE_TMPDIR")


def ask_sqlite(database: Database, file: Path, statement: Statement) -> Listing:
    """Return what the statement finds.

    Raises `QueryError`, `StorageUnreachable`, or SQLAlchemy's form of a driver's error.
    """
    if is_missing(file) or is_empty(file):
        raise DatabaseMissing(database.address)
    access, before = access_to(file), stamp(file)
    with _start(file) as process, database.ending(process.terminate):
        try:
            request = _request(uri_of(file, access), statement)
            out, _ = process.communicate(request, statement.seconds + STARTING_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise QueryTimeout(statement.seconds) from error
        finally:
            process.kill()
            process.wait()
    if access is Access.FROZEN and stamp(file) != before:
        raise file_changed_error(file)
    return _listing(statement, process.returncode, out.splitlines())


def _start(file: Path) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - of our own
            [sys.executable, "-I", "-S", sqlite_child.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
            start_new_session=True,  # a terminal's Ctrl-C is ours to act on
        )
    except OSError as error:
        raise StorageUnreachable(
            f"Cannot query the database {file}: Python cannot be started as the process of its "
            f"own that a query has: {sys.executable}: {error.strerror}"
        ) from error


def _request(uri: str, statement: Statement) -> bytes:
    request = {
        "uri": uri,
        "sql": statement.sql,
        "parameters": statement.parameters or (),
        "seconds": statement.seconds,
        "limit": statement.limit,
        "most_rows": limits.MOST_ROWS,
        "most_bytes": limits.MOST_BYTES,
        "longest_value": limits.LONGEST_VALUE,
        "most_memory": limits.MOST_MEMORY,
        "most_temporary": limits.MOST_TEMPORARY,
    }
    return json.dumps(request).encode()


def _listing(statement: Statement, code: int, lines: list[bytes]) -> Listing:
    last: Any = json.loads(lines[-1]) if lines and code == 0 else {}
    if last == {"end": True}:
        columns, *rows = map(json.loads, lines[:-1])
        return Listing(columns=tuple(columns), rows=tuple(map(tuple, rows)))
    raise _error(statement, code, last)


def _error(statement: Statement, code: int, last: dict[str, Any]) -> Exception:
    match last:
        case {"error": name, "words": words, "code": sqlite_code}:
            return _of_driver(statement, name, words, sqlite_code)
        case {"end": False}:
            return NotReadOnly("it gives no rows")
        case {"too_large": "answer"}:
            return answer_too_large()
        case {"too_large": "memory"}:
            return _beyond(limits.MOST_MEMORY, "of memory")
        case {"too_large": files}:
            return _beyond(limits.MOST_TEMPORARY, f"of {files}")
    if code == -signal.SIGALRM:
        return QueryTimeout(statement.seconds)
    if code == -signal.SIGKILL:
        return _beyond(limits.MOST_MEMORY, "of memory")
    return QueryError(f"The process that was to answer the query ended with code {code}.")


def _beyond(most: int, what: str) -> QueryTooLarge:
    return QueryTooLarge(f"it needs more than {most // 2**20} MiB {what}. Ask for less")


def _of_driver(statement: Statement, name: str, words: str, code: int | None) -> Exception:
    """The error as SQLAlchemy would have raised it."""
    error: Any = getattr(sqlite3, name)(words)
    if code is not None:
        error.sqlite_errorcode = code
    if isinstance(error, sqlite3.Warning):
        return sqlite3.Warning(words)
    wrapped: Exception = DBAPIError.instance(statement.sql, None, error, sqlite3.Error)
    return wrapped
