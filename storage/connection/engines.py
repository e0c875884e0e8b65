"""Engines of SQLite and PostgreSQL: what connections and transactions are set to."""

from __future__ import annotations

import functools
import json
import os
import re
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from tapeworks.storage.connection.sessions import VALUE_FORMATS, settle
from tapeworks.storage.connection.sqlite_access import (
    Access,
    access_to,
    file_changed_error,
    is_empty,
    is_missing,
    stamp,
    uri_of,
)
from tapeworks.storage.errors import DatabaseMissing, StorageRefused, StorageUnreachable

#: How long a writer waits for another one, in milliseconds: far longer than any transaction of ours
#: takes, and short enough that a renewal of a lease of 10 s, started in time, fails before its end.
BUSY_TIMEOUT_MS = 5_000

#: How long a PostgreSQL server may work on one statement, in milliseconds; the largest listing
#: takes less. A server that is stuck is given up soon after (`liveness.py`).
STATEMENT_TIMEOUT_MS = 25_000

#: How long a transaction may stay open without a statement, in milliseconds: that of a process that
#: froze in the middle would keep its run from being taken over.
IDLE_TIMEOUT_MS = 10_000

#: What a connection to PostgreSQL needs so that a server that froze or was cut off is given up:
#: connecting after 3 s, a silent connection after about 10 s (all but the last two in seconds).
POSTGRESQL_ARGUMENTS: dict[str, str] = {
    "connect_timeout": "3",
    "keepalives_idle": "4",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",  # milliseconds
    "client_encoding": "utf8",  # also where the database has none: SQL_ASCII would give us bytes
}

#: Connections beyond those that are kept open: every run that is driven at once needs one, and none
#: may wait for another's.
UNLIMITED = -1

#: What every transaction on PostgreSQL begins by setting, for itself alone. As options of the
#: connection a pooler would refuse them, and between transactions it may change the server.
TRANSACTION_SETTINGS = VALUE_FORMATS | {
    "lock_timeout": str(BUSY_TIMEOUT_MS),
    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
    "idle_in_transaction_session_timeout": str(IDLE_TIMEOUT_MS),
}

#: Of the settings that an address makes itself: `-c name=value` or `--name=value`.
_OWN_SETTING = re.compile(r"(?:-c\s*|--)([\w.-]+)\s*=")

#: What a transaction is for; SQLite begins each kind in its own way.
Purpose = Literal["read", "write", "migrate", "outside"]


def create_private(path: Path) -> None:
    """Create an empty file that nobody but its owner may read. Raises `OSError`.

    SQLite takes an empty file for a new database, and gives the files beside it the same mode.
    """
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def create_database(file: Path, address: str) -> None:
    """Create an empty SQLite database and its directory, unless something is there.

    Connections never do: a mistyped path would become a database.
    """
    if not is_missing(file):
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        create_private(file)
    except OSError as error:
        raise StorageRefused(
            f"Cannot make the database {address}: {error.strerror}. "
            "Name a file in a directory that can be written to"
        ) from error


def engine_for(url: URL, address: str, *, read_only: bool = False) -> Engine:
    """Return an engine that has connected to nothing yet; `address` is the URL as it is shown.

    One that is `read_only` has connections that cannot write, whatever the user may.
    """
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url, address, read_only)
    if url.get_backend_name() != "postgresql":
        raise StorageUnreachable(_describe_unsupported(address))
    try:
        engine = create_engine(
            url,
            pool_pre_ping=True,
            max_overflow=UNLIMITED,
            connect_args=_arguments(url),
            json_serializer=_compact,
        )
        from tapeworks.storage.connection.binary_arrays import (
            take_binary_arrays,  # loads the driver
        )
        from tapeworks.storage.connection.liveness import LONGEST_SILENCE_SECONDS, watch
    except ImportError as error:
        raise StorageUnreachable(
            f"The database {address} needs a driver that is not installed. "
            "Run: pip install 'psycopg[binary]'"
        ) from error
    except ArgumentError as error:
        raise StorageUnreachable(_describe_unsupported(address)) from error
    has_own_limit = "statement_timeout" in str(url.query.get("options", ""))
    watch(engine, None if has_own_limit else LONGEST_SILENCE_SECONDS)
    event.listen(engine, "connect", settle)
    event.listen(engine, "connect", take_binary_arrays)
    event.listen(engine, "begin", _settings_of(url, read_only))
    return engine


def _arguments(url: URL) -> dict[str, str | None]:
    """Return what connections are opened with; what the URL itself says goes before it.

    Nothing is prepared on the server: behind a pooler the next transaction may be on another one.
    """
    return POSTGRESQL_ARGUMENTS | _text_options(url) | {"prepare_threshold": None}


def _settings_of(url: URL, read_only: bool) -> Callable[[Connection], None]:
    """Return what sets a transaction that has begun; what the URL sets itself is left alone."""
    wanted = TRANSACTION_SETTINGS | ({"transaction_read_only": "on"} if read_only else {})
    own = {
        name.replace("-", "_")
        for name in _OWN_SETTING.findall(_text_options(url).get("options", ""))
    }
    calls = [
        f"set_config('{name}', '{value}', true)"
        for name, value in wanted.items()
        if name not in own
    ]

    def set_transaction(connection: Connection) -> None:
        if calls:
            connection.exec_driver_sql(f"SELECT {', '.join(calls)}")

    return set_transaction


def _text_options(url: URL) -> dict[str, str]:
    return {name: value for name, value in url.query.items() if isinstance(value, str)}


#: JSON without spaces: a ledger is stored with every iteration.
_compact = functools.partial(json.dumps, separators=(",", ":"))


def _describe_unsupported(address: str) -> str:
    return f"Expected a database of SQLite or PostgreSQL. Received: {address}"


def _sqlite_engine(url: URL, address: str, read_only: bool) -> Engine:
    _check_sqlite(url, address)
    engine = create_engine(url, max_overflow=UNLIMITED, json_serializer=_compact)
    event.listen(
        engine, "do_connect", functools.partial(_connect, address=address, read_only=read_only)
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "checkout", _check_file)
    event.listen(engine, "commit", _check_unchanged)
    event.listen(engine, "begin", functools.partial(_begin, address=address))
    return engine


def _check_sqlite(url: URL, address: str) -> None:
    if url.database in {None, "", ":memory:"} or "\0" in str(url.database):
        raise StorageUnreachable(f"Expected the path of a file to keep. Received: {address}")
    plain = URL.create("sqlite", database=url.database)
    if url.set(drivername="sqlite") != plain or url.get_driver_name() != "pysqlite":
        raise StorageUnreachable(
            "Expected an SQLite file as a path or as sqlite:///PATH, with no host, driver or "
            f"options. Received: {address}"
        )


def _connect(
    dialect: Dialect,
    record: ConnectionPoolEntry,
    arguments: Sequence[Any],
    named: dict[str, Any],
    *,
    address: str,
    read_only: bool,
) -> Any:
    """Open the file, for reading where it may only be read or is to be; none is made."""
    file = Path(arguments[0])
    if is_missing(file):
        raise DatabaseMissing(address)
    access = access_to(file)
    may_write = access is Access.WRITE and not read_only
    record.info.update(access=access, may_write=may_write, file=file, stamp=stamp(file))
    uri = uri_of(file, access, writes=may_write)
    return dialect.connect(uri, **named, uri=True)


def _prepare(connection: Any, record: ConnectionPoolEntry) -> None:
    """Durable commits, readers beside a writer, and transactions that begin when we say so."""
    connection.isolation_level = None
    record.info["inode"] = _inode(record.info["file"])
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    if record.info["may_write"]:
        if not is_empty(record.info["file"]):  # such a one stays as it is until it gets tables
            _write_ahead(connection)
        connection.execute("PRAGMA synchronous=FULL")


def _write_ahead(connection: Any) -> None:
    """Have the file written with a write-ahead log, which a new one is not.

    SQLite reads the file before it changes it, and then does not wait for the lock: where several
    processes open a new file at once, all but one would fail at once.
    """
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        connection.execute("BEGIN IMMEDIATE")  # waits for the holder of the lock
        connection.execute("ROLLBACK")


def _check_file(_connection: object, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Open a file again that was replaced, or is read without locks and was written to since."""
    if _has_changed(record.info) or record.info["inode"] != _inode(record.info["file"]):
        raise DisconnectionError


def _inode(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _check_unchanged(connection: Connection) -> None:
    """Raise if such a file was written to while it was read: what was read may be of two states."""
    if _has_changed(connection.info):
        raise file_changed_error(connection.info["file"])


def _has_changed(info: Mapping[str, Any]) -> bool:
    return info["access"] is Access.FROZEN and info["stamp"] != stamp(info["file"])


def _begin(connection: Connection, *, address: str) -> None:
    """Begin as the purpose asks. Raises `DatabaseMissing` where an empty file is to be read.

    A writer takes the lock at once: one that read first could not wait for it. Migrations rebuild
    tables, which with foreign keys on would delete everything that refers to them.
    """
    purpose = connection.get_execution_options().get("purpose", "read")
    if purpose == "outside":  # of any transaction, as VACUUM must be
        return
    if purpose == "read" and is_empty(connection.info["file"]):
        raise DatabaseMissing(address)
    if purpose == "migrate" and connection.info["may_write"]:
        _write_ahead(connection.connection.driver_connection)
    connection.exec_driver_sql(f"PRAGMA foreign_keys={'OFF' if purpose == 'migrate' else 'ON'}")
    connection.exec_driver_sql("BEGIN" if purpose == "read" else "BEGIN IMMEDIATE")
