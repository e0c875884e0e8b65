"""The connection to SQLite or PostgreSQL: transactions, schema revision, and nothing of runs."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError

from storage.errors import SchemaMismatch, StorageUnreachable
from storage.migrations import REVISION
from storage.translation import translated

#: How long a writer waits for another one, in milliseconds: far longer than any transaction of ours
#: takes, and short enough that a renewal of a lease of 10 s, begun in time, fails before its end.
BUSY_TIMEOUT_MS = 5_000

#: How long a PostgreSQL server may work on one statement, in milliseconds; the largest listing
#: takes less.
STATEMENT_TIMEOUT_MS = 30_000

#: How long a transaction may stay open without a statement, in milliseconds: that of a process that
#: froze in the middle would keep its run from being taken over.
IDLE_TIMEOUT_MS = 10_000

#: What a connection to PostgreSQL needs so that a server that froze or was cut off is given up:
#: connecting after 3 s, a silent connection after about 10 s (all but the last two in seconds).
POSTGRESQL_ARGUMENTS = {
    "connect_timeout": "3",
    "keepalives_idle": "4",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",  # milliseconds
    "client_encoding": "utf8",  # also where the database has none: SQL_ASCII would give us bytes
    "options": f"-c lock_timeout={BUSY_TIMEOUT_MS} -c statement_timeout={STATEMENT_TIMEOUT_MS} "
    f"-c idle_in_transaction_session_timeout={IDLE_TIMEOUT_MS}",
}

#: Of an address that cannot be read, and so not be shown either: a password may be in it.
UNREADABLE = (
    "Expected the path of a file, or a URL such as postgresql://user@host:5432/database, its "
    "password percent-encoded. Received: something else, not shown as it may hold a password"
)

#: How the names of files end that SQLite keeps beside a database.
SQLITE_ENDINGS = ("-wal", "-shm", "-journal")

#: What a transaction is for; SQLite begins each kind in its own way.
Purpose = Literal["read", "write", "migrate", "outside"]

#: Where a writing transaction stands: the two moments between which its outcome is unknown.
Moment = Literal["before_commit", "after_commit"]

#: Looks on at those moments, for drills: it may raise or end the process there.
Observer = Callable[[Moment], None]


def unobserved(moment: Moment) -> None:
    """Nobody looks on."""


class Database:
    """One database, by its URL or by the path of an SQLite file. Opens nothing until used.

    The observer is called around every COMMIT of a writer.
    """

    def __init__(self, url: str | Path, observer: Observer = unobserved) -> None:
        self._url, self._observer = _parsed(url), observer
        #: The URL as it may be shown: without its password.
        self.address = _shown(self._url)
        self._engine = _engine(self._url, self.address)

    def now(self) -> datetime:
        """The clock that leases and events go by: the server's, so that it is the same for all."""
        if self.is_sqlite:
            return datetime.now(UTC)  # a file's users share a machine
        with self.read() as connection:
            moment: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return moment.astimezone(UTC)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and never waits for writers."""
        with self._transaction("read") as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes all or nothing; on SQLite the only one at its time."""
        with self._transaction("write") as connection:
            yield connection
            self._observer("before_commit")
        self._observer("after_commit")

    @contextmanager
    def apart(self) -> Iterator[Connection]:
        """A connection outside of any transaction, closed afterwards: nobody else gets it."""
        with translated(self.address), self._engine.connect() as connection:
            try:
                yield connection
            finally:
                connection.invalidate()

    @property
    def is_sqlite(self) -> bool:
        """Whether it is an SQLite file."""
        return self._engine.dialect.name == "sqlite"

    @property
    def file(self) -> Path | None:
        """The SQLite file, if it is one."""
        return Path(str(self._url.database)) if self.is_sqlite else None

    def owns(self, path: Path) -> bool:
        """Whether the SQLite file is or lies there, or SQLite may keep one beside it there."""
        if not self.file:
            return False
        own, place = Path(os.path.realpath(self.file)), Path(os.path.realpath(path))
        beside = {own.with_name(own.name + ending) for ending in SQLITE_ENDINGS}
        is_other_name = own.exists() and place.exists() and place.samefile(own)
        return is_other_name or own.is_relative_to(place) or place in beside

    def revision(self) -> str | None:
        """The revision of the tables, or None where there are none."""
        with self.read() as connection:
            return _revision(connection)

    def check_schema(self) -> None:
        """Create the tables of a new SQLite database; refuse tables of another version."""
        with self.read() as connection:
            found = _revision(connection)
            is_new = found is None and _is_new_sqlite(connection)
        if is_new:
            self.upgrade()
        elif found != REVISION:
            raise SchemaMismatch(self.address, found, REVISION)

    def upgrade(self) -> None:
        """Bring the tables to this version's revision; any number of processes may try at once."""
        from storage.upgrade import upgrade  # Alembic takes longer to import than a listing may

        with self._transaction("migrate") as connection:
            upgrade(connection)

    def shrink(self) -> None:
        """Give the room of what was removed back to the disk, on SQLite; PostgreSQL reuses it."""
        if self.is_sqlite:
            engine = self._engine.execution_options(purpose="outside")
            with translated(self.address), engine.connect() as connection:
                connection.exec_driver_sql("VACUUM")

    def copy_to(self, path: Path) -> None:
        """An SQLite database as it stands now, in a new file; writers go on meanwhile."""
        engine = self._engine.execution_options(purpose="outside")
        with translated(self.address), engine.connect() as connection:
            connection.exec_driver_sql("VACUUM INTO ?", (str(path),))

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, purpose: Purpose) -> Iterator[Connection]:
        with translated(self.address), self._engine.connect() as connection:
            connection.execution_options(purpose=purpose)
            with connection.begin():
                yield connection


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def _is_new_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite" and not inspect(connection).get_table_names()


def _parsed(url: str | Path) -> URL:
    try:
        str(url).encode()  # SQLAlchemy takes no bytes that are no text
        parsed = make_url(str(url)) if "://" in str(url) else _file(Path(url))
    except (ArgumentError, ValueError) as error:
        raise StorageUnreachable(UNREADABLE) from error
    if "@" in (parsed.host or ""):  # the end of a password
        raise StorageUnreachable(UNREADABLE)
    if parsed.drivername in {"postgres", "postgresql"}:
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def _file(path: Path) -> URL:
    try:
        return URL.create("sqlite", database=str(path.expanduser()))
    except RuntimeError as error:
        raise StorageUnreachable(f"There is no home directory for the database {path}.") from error


def _shown(url: URL) -> str:
    passwords = [option for option in url.query if "password" in option.lower()]
    return url.difference_update_query(passwords).render_as_string(hide_password=True)


def _engine(url: URL, address: str) -> Engine:
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url, address)
    if url.get_backend_name() != "postgresql":
        raise StorageUnreachable(_unsupported(address))
    try:
        arguments = _arguments(url)
        return create_engine(
            url,
            pool_pre_ping=True,
            max_overflow=-1,  # a connection for every run that is driven at once
            connect_args=arguments,
            json_serializer=_compact,
        )
    except ImportError as error:
        raise StorageUnreachable(
            f"The database {address} needs a driver that is not installed. "
            "Run: pip install 'psycopg[binary]'"
        ) from error
    except ArgumentError as error:
        raise StorageUnreachable(_unsupported(address)) from error


def _arguments(url: URL) -> dict[str, str]:
    """What connections are opened with; what the URL itself says goes before it."""
    given = {name: value for name, value in url.query.items() if isinstance(value, str)}
    options = f"{POSTGRESQL_ARGUMENTS['options']} {given.get('options', '')}".strip()
    return POSTGRESQL_ARGUMENTS | given | {"options": options}


#: JSON without spaces: a ledger is stored with every iteration.
_compact = functools.partial(json.dumps, separators=(",", ":"))


def _unsupported(address: str) -> str:
    return f"Expected a database of SQLite or PostgreSQL. Received: {address}"


def _sqlite_engine(url: URL, address: str) -> Engine:
    _check_sqlite(url, address)
    try:
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageUnreachable(
            f"Cannot make a directory for the database {address}: {error.strerror}. "
            "Name a file in a directory that can be written to."
        ) from error
    engine = create_engine(url, json_serializer=_compact)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
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


def _prepare(connection: Any, _record: object) -> None:
    """Durable commits, readers beside a writer, and transactions that begin when we say so."""
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _begin(connection: Connection) -> None:
    """Begin as the purpose asks.

    A writer takes the lock at once: one that read first could not wait for it. Migrations rebuild
    tables, which with foreign keys on would delete everything that refers to them.
    """
    purpose = connection.get_execution_options().get("purpose", "read")
    if purpose == "outside":  # of any transaction, as VACUUM must be
        return
    connection.exec_driver_sql(f"PRAGMA foreign_keys={'OFF' if purpose == 'migrate' else 'ON'}")
    connection.exec_driver_sql("BEGIN" if purpose == "read" else "BEGIN IMMEDIATE")
