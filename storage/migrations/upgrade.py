"""Brings tables to the newest revision. The only module that imports Alembic.

It does so only where something is missing, under the lock of the one process that applies it: those
that wait for it need no second of processor time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from tapeworks.storage.errors import SchemaMismatch, StorageError
from tapeworks.storage.migrations import REVISION
from tapeworks.storage.migrations.schema import read_schema
from tapeworks.storage.queries.views import create_views, drop_views

if TYPE_CHECKING:
    from alembic.config import Config

#: Any number, the same in every Tapeworks: PostgreSQL's name for "one upgrade at a time".
UPGRADE_LOCK = 7_413_001

#: PostgreSQL's encodings of databases that hold every text; SQL_ASCII takes all bytes as they are.
ENCODINGS = {"UTF8", "SQL_ASCII"}


def alembic_config(connection: Connection, place: str | None = None) -> Config:
    """Return Alembic's configuration; `place` is PostgreSQL's schema of the version table."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "tapeworks.storage:migrations")
    config.attributes["connection"] = connection
    config.attributes["place"] = place
    return config


def upgrade(connection: Connection, address: str) -> bool:
    """Apply what is missing, inside the connection's transaction; a second caller finds nothing.

    Returns whether anything was missing. Raises `SchemaMismatch` for tables of a newer version,
    `ForeignTables` for another program's, before anything is changed. On SQLite the transaction
    must have begun as a writer's, with foreign keys off.
    """
    with _lift_limits(connection):
        schema = read_schema(connection, address)
        if schema.revision is not None and schema.revision > REVISION:
            raise SchemaMismatch(address, schema.revision, REVISION)
        if schema.revision == REVISION:
            return False
        _apply(connection, address, schema.place or _place(connection))
        return True


def _apply(connection: Connection, address: str, place: str | None) -> None:
    """Run the revisions that are missing, and create the views again."""
    from alembic import command
    from alembic.util import CommandError

    drop_views(connection)
    try:
        command.upgrade(alembic_config(connection, place), "head")
    except CommandError as error:
        raise StorageError(f"Cannot upgrade the database {address}: {error}") from error
    create_views(connection)
    if connection.dialect.name == "sqlite":
        _check_foreign_keys(connection)


@contextmanager
def _lift_limits(connection: Connection) -> Iterator[None]:
    """Let statements take their time, on PostgreSQL one upgrade after the other."""
    if connection.dialect.name != "postgresql":
        yield
        return
    from tapeworks.storage.connection.liveness import allowing  # loads PostgreSQL's driver

    with allowing(connection, None):
        for limit in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
            connection.exec_driver_sql(f"SET LOCAL {limit} = 0")
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        yield


def _place(connection: Connection) -> str | None:
    """The schema that new tables are made in; SQLite has one."""
    if connection.dialect.name == "sqlite":
        return None
    place: str | None = connection.scalar(text("SELECT current_schema()"))
    if place is None:
        raise StorageError(
            "Expected a schema for new tables. Received: a search_path on which none exists. "
            "Run: CREATE SCHEMA, or correct search_path."
        )
    _check_encoding(connection)
    return place


def _check_encoding(connection: Connection) -> None:
    """Raise for a database that would refuse a name or an event in the middle of a run."""
    encoding = connection.scalar(text("SELECT current_setting('server_encoding')"))
    if encoding not in ENCODINGS:
        raise StorageError(
            f"Expected a database whose texts are UTF8. Received: {encoding}. "
            "Make one with: createdb --encoding UTF8 --template template0"
        )


def _check_foreign_keys(connection: Connection) -> None:
    orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if orphans:
        tables = ", ".join(sorted({str(orphan[0]) for orphan in orphans}))
        raise StorageError(f"The upgrade would leave rows that belong to nothing, in: {tables}.")
