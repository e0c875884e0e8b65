"""The connection to SQLite or PostgreSQL: transactions, schema revision, and nothing of runs."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Never

from sqlalchemy import Connection, Dialect, Engine, select, text
from sqlalchemy.exc import OperationalError

from tapeworks.storage import forks
from tapeworks.storage.connection import bound_values
from tapeworks.storage.connection.engines import (
    Purpose,
    create_database,
    create_private,
    engine_for,
)
from tapeworks.storage.connection.outages import REFUSED, translate_errors
from tapeworks.storage.connection.urls import anchor_url, parse_url, show_url
from tapeworks.storage.errors import (
    DatabaseLocked,
    DatabaseMissing,
    DatabaseReadOnly,
    ForeignTables,
    NotCopied,
    RightMissing,
    SchemaMismatch,
    TablesChanged,
    TablesMissing,
)
from tapeworks.storage.migrations import REVISION
from tapeworks.storage.migrations.schema import Schema, read_schema
from tapeworks.storage.tables import database_ids

#: How the names of files end that SQLite keeps beside a database.
SQLITE_ENDINGS = ("-wal", "-shm", "-journal")

#: How often an upgrade waits for the lock of an SQLite file, as long as any transaction each time:
#: another process upgrades it, which may take longer on a busy machine or with a long history.
UPGRADE_ATTEMPTS = 6


class Database:
    """One database, by its URL or by the path of an SQLite file. Opens nothing until used.

    Nothing is written through one that is `read_only`, on which `write` raises `DatabaseReadOnly`.
    Threads may share it, and so may processes that are forked: each opens connections of its own.
    """

    def __init__(self, url: str | Path, *, read_only: bool = False) -> None:
        self._url = anchor_url(parse_url(url))
        self.read_only = read_only
        #: The URL as it may be shown: without its password.
        self.address = show_url(self._url)
        self._engine = self._new_engine()
        self._query_ends = set[Callable[[], None]]()
        #: Where locks are a process's and not a connection's.
        self.guarded_file = os.path.realpath(self.file) if self.file else None
        self._guard = forks.guard()
        self._guard.add(self)

    def __reduce__(self) -> Never:
        raise NotCopied("database")

    @property
    def secret_url(self) -> str:
        """The URL with its password, for a process that is started; it is never shown."""
        return self._url.render_as_string(hide_password=False)

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
        with self._writing() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """The same, and a refusal of a role that may only read told as its lack of a right."""
        try:
            with self._transaction("write") as connection:
                yield connection
        except DatabaseReadOnly as error:
            if self._may_only_read():
                raise RightMissing(REFUSED.format(self.address, "it may only read")) from error
            raise

    def check_writable(self) -> None:
        """Write what stands there already, which changes nothing. Raises what forbids it."""
        with self._writing() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = version_num"))

    @contextmanager
    def apart(self) -> Iterator[Connection]:
        """A connection outside of any transaction, closed afterwards: nobody else gets it."""
        with self._connection() as connection:
            try:
                yield connection
            finally:
                connection.invalidate()

    @property
    def is_sqlite(self) -> bool:
        """True for an SQLite file."""
        return self._engine.dialect.name == "sqlite"

    @property
    def dialect(self) -> Dialect:
        """The rules by which SQL is written for it."""
        return self._engine.dialect

    @property
    def file(self) -> Path | None:
        """The SQLite file, if it is one."""
        return Path(str(self._url.database)) if self.is_sqlite else None

    def owns(self, path: Path) -> bool:
        """Check that the SQLite file is or lies there, or SQLite may keep one beside it there."""
        if not self.file:
            return False
        own, place = Path(os.path.realpath(self.file)), Path(os.path.realpath(path))
        beside = {own.with_name(own.name + ending) for ending in SQLITE_ENDINGS}
        is_other_name = own.exists() and place.exists() and place.samefile(own)
        return is_other_name or own.is_relative_to(place) or place in beside

    def revision(self) -> str | None:
        """Return the revision of the tables, or None. Raises `ForeignTables`."""
        with self.read() as connection:
            return read_schema(connection, self.address).revision

    def read_id(self) -> str:
        """Return the id that the database got with its tables; a copy of it has the same."""
        with self.read() as connection:
            return str(connection.execute(select(database_ids.c.id)).scalar_one())

    def check_schema(self) -> None:
        """Refuse tables of another version, and an SQLite file without any: nothing is made.

        Raises `SchemaMismatch`, for tables of another program `ForeignTables`, for none at all
        `TablesMissing`, for no file or an empty one `DatabaseMissing`.
        """
        found = self._read_schema()
        if found.revision != REVISION:
            raise SchemaMismatch(self.address, found.revision, REVISION)

    def ensure_schema(self) -> bool:
        """Make a new SQLite database where there is none; return whether that was done here.

        Raises like `check_schema` for everything else.
        """
        try:
            self.check_schema()
        except DatabaseMissing:
            if self.read_only:
                raise
            return self.upgrade()
        return False

    def upgrade(self) -> bool:
        """Bring the tables to this version's revision, in a new file if there is none.

        Returns whether anything was missing. Any number of processes may try at once.
        """
        if self.file:
            create_database(self.file, self.address)
        for _ in range(UPGRADE_ATTEMPTS - 1):
            with suppress(DatabaseLocked):
                return self._upgrade_once()
        return self._upgrade_once()

    def shrink(self) -> None:
        """Give the room of what was removed back to the disk, on SQLite; PostgreSQL reuses it."""
        if self.is_sqlite:
            with self._connection("outside") as connection:
                connection.exec_driver_sql("VACUUM")

    def copy_to(self, path: Path) -> None:
        """Copy an SQLite database as it stands now to a new file, its owner's; writers go on.

        Raises `OSError` when there is no room for it.
        """
        with suppress(OSError):  # SQLite says itself what is wrong with the place
            create_private(path)
        with self._connection("outside") as connection:
            try:
                connection.exec_driver_sql("VACUUM INTO ?", (str(path),))
            except OperationalError as error:
                if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path) from error
                raise
            connection.commit()  # looks whether a file that is only read stayed as it was

    @contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """Let `end_queries` call this meanwhile, from another thread."""
        self._query_ends.add(end)
        try:
            yield
        finally:
            self._query_ends.discard(end)

    def end_queries(self) -> None:
        """End the queries in people's own SQL that other threads wait for."""
        for end in tuple(self._query_ends):
            end()

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        self._engine.dispose()

    def open_connections(self) -> int:
        """Return how many there are, in use or not."""
        pool: Any = self._engine.pool
        return int(pool.checkedin() + pool.checkedout())

    def abandon(self) -> object:
        """Begin without connections; return the old ones, which are another process's."""
        old, self._engine = self._engine.pool, self._new_engine()
        self._query_ends.clear()
        return old

    def _may_only_read(self) -> bool:
        """Check that the user lacks the rights to write, whatever else forbids it."""
        if self.is_sqlite:
            return False
        from tapeworks.storage.queries.roles import role_of  # which knows databases

        role = role_of(self)
        return role is not None and not role.may_write

    def _new_engine(self) -> Engine:
        engine = engine_for(self._url, self.address, read_only=self.read_only)
        bound_values.refuse_others(engine)
        return engine

    def _upgrade_once(self) -> bool:
        from tapeworks.storage.migrations.upgrade import upgrade  # which a listing goes without

        with self._transaction("migrate") as connection:
            return upgrade(connection, self.address)

    @contextmanager
    def _transaction(self, purpose: Purpose) -> Iterator[Connection]:
        try:
            with self._connection(purpose) as connection, connection.begin():
                yield connection
        except TablesChanged:
            with suppress(ForeignTables):
                self._read_schema()  # which says so if there are none at all
            raise

    def _read_schema(self) -> Schema:
        """Return the tables' state. Raises `DatabaseMissing`, `TablesMissing`, `ForeignTables`."""
        with self.read() as connection:
            found = read_schema(connection, self.address)
        if found.is_empty:
            raise (DatabaseMissing if self.is_sqlite else TablesMissing)(self.address)
        return found

    @contextmanager
    def _connection(self, purpose: Purpose = "read") -> Iterator[Connection]:
        with (
            translate_errors(self.address),
            self._guard.using(self, self.address),
            self._engine.connect() as connection,
        ):
            yield connection.execution_options(purpose=purpose)
