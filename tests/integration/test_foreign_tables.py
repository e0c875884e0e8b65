"""Databases of other programs: recognised, named, and never changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from tapeworks.errors import ExitCode, exit_code
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.driving.retrying import Patience
from tapeworks.scheduler.events import Notice
from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import ForeignTables, SchemaMismatch, StorageError, TablesChanged
from tapeworks.storage.history import History
from tapeworks.storage.migrations import REVISION
from tests.support.calls import Call
from tests.support.listeners import on

VERSIONS = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"
AT = "INSERT INTO alembic_version VALUES ('{}')"

#: What other programs leave behind, and what must be named.
FOREIGN = [
    ([VERSIONS, AT.format("ae1027a6acf"), "CREATE TABLE music (title TEXT)"], "music"),
    ([VERSIONS, AT.format("0001"), "CREATE TABLE music (title TEXT)"], "music"),
    ([VERSIONS, AT.format("0002"), "CREATE TABLE runs (title TEXT)"], "runs"),
    ([VERSIONS, AT.format("ae1027a6acf")], "alembic_version"),
    ([VERSIONS, AT.format("0001"), AT.format("0002")], "alembic_version"),
    (["CREATE TABLE music (title TEXT)"], "music"),
    (["CREATE TABLE a (b TEXT)", "CREATE VIEW images AS SELECT b FROM a"], "a, images"),
]


@pytest.fixture
def either(database_url: str) -> Iterator[Database]:
    """A new database of each kind."""
    database = Database(database_url)
    if database.file:
        database.file.touch()
    yield database
    database.close()


def tables(database: Database) -> list[tuple[str, ...]]:
    """All that is there."""
    names = {
        True: "SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2",
        False: "SELECT table_schema, table_name FROM information_schema.tables ORDER BY 1, 2",
    }
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(text(names[database.is_sqlite]))]


@pytest.mark.parametrize(("statements", "named"), FOREIGN)
def test_a_database_of_another_program_is_named_and_left_alone(
    statements: list[str], named: str, either: Database
) -> None:
    with either.write() as connection:
        for statement in statements:
            connection.execute(text(statement))
    before = tables(either)
    for attempt in (either.check_schema, either.upgrade, either.revision):
        with pytest.raises(ForeignTables, match=f"of another program: {named}. Name a database"):
            attempt()
    assert tables(either) == before


@pytest.mark.parametrize("version", ["ae1027a6acf", "9999"])
def test_another_programs_revision_beside_ours_is_named(version: str, either: Database) -> None:
    either.upgrade()
    with either.write() as connection:
        connection.execute(text(AT.format(version)))
    before = tables(either)
    for attempt in (either.check_schema, either.upgrade):
        with pytest.raises(ForeignTables, match=f"alembic_version, at {REVISION}, {version}. Name"):
            attempt()
    assert tables(either) == before


def test_an_empty_version_table_is_nobodys(either: Database) -> None:
    with either.write() as connection:
        connection.execute(text(VERSIONS))
    either.upgrade()
    assert either.revision() == REVISION


@pytest.mark.parametrize("line", ["runs", "submit", "db check", "db upgrade", "doctor"])
def test_commands_name_another_programs_file(
    line: str, call: Call, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", "music.db")
    (places / "music.db").touch()
    with closing(Database(places / "music.db")) as database, database.write() as connection:
        connection.execute(text("CREATE TABLE music (title TEXT)"))
    called = call(line)
    assert called.code == 2
    assert "holds tables of another program: music." in called.out + called.err
    assert "db upgrade" not in called.out + called.err


def test_a_newer_revision_of_ours_is_no_case_for_an_upgrade(either: Database) -> None:
    either.upgrade()
    with either.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0009'"))
    for attempt in (either.check_schema, either.upgrade):
        with pytest.raises(SchemaMismatch, match=r"0009, .*newer Tapeworks") as refusal:
            attempt()
        assert "db upgrade" not in str(refusal.value)


def test_the_version_table_of_a_schema_behind_ours_is_another_programs(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA ours")
        connection.execute(VERSIONS)
        connection.execute(AT.format("ae1027a6acf"))
        connection.execute("CREATE TABLE music (title TEXT)")
        path = "?options=-c%20search_path%3Dours,public"
        with closing(Database(postgres_url + path)) as database:
            assert database.revision() is None
            database.upgrade()
            database.ensure_schema()
            assert History(database).runs() == []
        found = connection.execute("SELECT version_num FROM public.alembic_version").fetchall()
    assert found == [("ae1027a6acf",)]


def test_a_search_path_of_nothing_is_told(postgres_url: str) -> None:
    path = "?options=-c%20search_path%3Dnowhere"
    with (
        closing(Database(postgres_url + path)) as database,
        pytest.raises(StorageError, match="Expected a schema for new tables"),
    ):
        database.upgrade()


def test_what_an_extension_brings_is_no_programs(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE brought (word TEXT)")
        connection.execute("ALTER EXTENSION plpgsql ADD TABLE brought")
    with closing(Database(postgres_url)) as database:
        database.upgrade()
        assert database.revision() == REVISION


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE stored_runs RENAME COLUMN id TO key",
        "ALTER TABLE stored_runs RENAME TO others",
    ],
)
def test_tables_that_were_changed_by_hand_are_told_at_once_and_not_waited_for(
    change: str, either: Database
) -> None:
    either.upgrade()
    history = History(either)
    with either.write() as connection:
        connection.execute(text(change))
    notices = list[Notice]()
    patient = history.patient(Patience(history, Control(), on(Notice, notices.append)))

    told = "are not those of this Tapeworks: .*Run: tapeworks db upgrade. If that finds nothing"
    with pytest.raises(TablesChanged, match=told) as refused:
        patient.find_run("20261130-000000000-000000")
    assert exit_code(refused.value) is ExitCode.WRONG_USAGE
    assert not notices
