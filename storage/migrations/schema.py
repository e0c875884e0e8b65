"""The program whose tables a database holds, and the revision of ours."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, text

from tapeworks.storage.errors import ForeignTables

#: Tables that every database of Tapeworks has.
OURS = {"stored_runs", "stored_iterations", "stored_checkpoints"}

#: Alembic's table; every program that uses Alembic has one.
VERSION_TABLE = "alembic_version"

#: A revision of ours, of whatever version.
_REVISION = re.compile(r"\d{4}")

_SQLITE_TABLES = text(
    "SELECT 'main' AS place, name, 1 AS is_here FROM sqlite_master "
    "WHERE type IN ('table', 'view') AND substr(name, 1, 7) <> 'sqlite_'"
)

#: Visible on the search path, and nothing that an extension has put there.
_POSTGRESQL_TABLES = text(
    "SELECT n.nspname AS place, c.relname AS name, n.nspname = current_schema() AS is_here "
    "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_table_is_visible(c.oid) "
    "AND left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema' "
    "AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e' "
    "AND d.classid = CAST('pg_class' AS regclass))"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """The tables of a database that may be ours."""

    revision: str | None
    is_empty: bool  #: nothing is where new tables would be made
    place: str | None  #: PostgreSQL's schema of our tables, if there are any


def read_schema(connection: Connection, address: str) -> Schema:
    """Return what the database holds. Raises `ForeignTables` unless that is ours or nothing."""
    is_sqlite = connection.dialect.name == "sqlite"
    found = connection.execute(_SQLITE_TABLES if is_sqlite else _POSTGRESQL_TABLES).all()
    places: dict[str, str] = {row.name: row.place for row in found}
    here = {row.name for row in found if row.is_here}
    if not places.keys() >= OURS:
        _check_empty(connection, here, address)
        return Schema(revision=None, is_empty=not here, place=None)
    place = places[min(OURS)]
    revision = None
    if places.get(VERSION_TABLE) == place:
        revision = _revision(connection, address)
    return Schema(revision=revision, is_empty=False, place=None if is_sqlite else place)


def _check_empty(connection: Connection, here: Collection[str], address: str) -> None:
    """Raise unless no table is there, but perhaps a version table that names no version."""
    others = sorted(set(here) - {VERSION_TABLE})
    if others or (VERSION_TABLE in here and _versions(connection)):
        raise ForeignTables(address, others or [VERSION_TABLE])


def _revision(connection: Connection, address: str) -> str | None:
    versions = _versions(connection)
    if len(versions) > 1 or not all(map(_REVISION.fullmatch, versions)):
        raise ForeignTables(address, [f"{VERSION_TABLE}, at {', '.join(versions)}"])
    return versions[0] if versions else None


def _versions(connection: Connection) -> list[str]:
    found = connection.scalars(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
    return sorted(map(str, found))
