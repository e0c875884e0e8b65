"""The schema: what migrations make is what the tables declare, and no other is accepted."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from tapeworks.storage.connection.database import Database
from tapeworks.storage.connection.engines import _write_ahead
from tapeworks.storage.errors import (
    DatabaseLocked,
    DatabaseMissing,
    ForeignTables,
    SchemaMismatch,
    StateConflict,
    StorageError,
)
from tapeworks.storage.history import History
from tapeworks.storage.migrations import REVISION
from tapeworks.storage.migrations.upgrade import alembic_config
from tapeworks.storage.rows import note
from tapeworks.storage.tables import metadata

ROOT = Path(__file__).parents[2]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "runs.db")
    yield database
    database.close()


def stamp(database: Database, revision: str) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})


def test_a_postgresql_database_without_an_encoding_serves(postgres_url: str) -> None:
    """As Debian makes them on a machine without a locale."""
    server, _, name = postgres_url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}"')
        connection.execute(f'CREATE DATABASE "{name}" ENCODING SQL_ASCII TEMPLATE template0')
    database = Database(postgres_url)
    database.upgrade()
    run = History(database).create_run(
        name="ä", configuration={}, iterations=1, parameters=b"", parameters_digest=""
    )
    assert History(database).find_run("ä").id == run.id
    database.close()


def test_a_postgresql_database_that_holds_some_texts_only_gets_no_tables(
    postgres_url: str,
) -> None:
    server, _, name = postgres_url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}"')
        connection.execute(
            f"CREATE DATABASE \"{name}\" ENCODING LATIN1 TEMPLATE template0 LOCALE 'C'"
        )
    database = Database(postgres_url)
    with pytest.raises(StorageError, match=r"are UTF8.* Received: LATIN1\. .*--encoding UTF8"):
        database.upgrade()
    assert database.revision() is None
    with pytest.raises(StorageError, match=r"has no equivalent .*--encoding UTF8"):
        say_a_rare_word(database)
    database.close()


def say_a_rare_word(database: Database) -> None:
    with database.read() as connection:
        connection.execute(text("SELECT CAST(:word AS text)"), {"word": "😀"})


def test_migrated_tables_are_the_declared_tables(either_database: Database) -> None:
    either_database.upgrade()
    with either_database.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_the_revision_that_the_code_needs_is_the_newest(database: Database) -> None:
    database.upgrade()
    with database.read() as connection:
        scripts = ScriptDirectory.from_config(alembic_config(connection))
    assert scripts.get_heads() == [REVISION]


def test_a_new_sqlite_file_gets_its_tables_by_itself(database: Database) -> None:
    with pytest.raises(DatabaseMissing):
        database.check_schema()
    assert not database.file or not database.file.exists()
    assert [database.ensure_schema(), database.ensure_schema()] == [True, False]
    assert database.revision() == REVISION


def test_another_revision_is_refused_with_the_command_that_helps(database: Database) -> None:
    database.ensure_schema()
    stamp(database, "0000")
    with pytest.raises(SchemaMismatch) as refusal:
        database.ensure_schema()
    assert f"is at revision 0000, this Tapeworks needs {REVISION}. " in str(refusal.value)
    assert str(refusal.value).endswith("Run: tapeworks db upgrade")


def test_a_file_with_tables_of_something_else_is_refused(database: Database) -> None:
    with closing(sqlite3.connect(str(database.file))) as other:
        other.execute("CREATE TABLE music (title TEXT)")
    with pytest.raises(ForeignTables, match=r"tables of another program: music\. Name"):
        database.ensure_schema()


def test_upgrading_what_a_newer_tapeworks_wrote_is_refused(database: Database) -> None:
    database.ensure_schema()
    stamp(database, "9999")
    with pytest.raises(SchemaMismatch, match=r"9999.*newer Tapeworks wrote it: install that one"):
        database.upgrade()
    assert database.revision() == "9999"


def test_upgrading_twice_changes_nothing(database: Database) -> None:
    database.upgrade()
    database.upgrade()
    assert database.revision() == REVISION


def test_foreign_keys_hold_again_after_an_upgrade(database: Database) -> None:
    database.upgrade()
    with pytest.raises(StateConflict, match="FOREIGN KEY"), database.write() as connection:
        note(connection, "nothing", database.now(), "kind", "message")


def test_processes_that_start_at_once_agree_on_one_schema(tmp_path: Path) -> None:
    """One makes the tables; the others wait for it, and load nothing that makes tables."""
    script = (
        "import sys; from tapeworks.storage.connection.database import Database\n"
        "sys.stdin.readline(); database = Database(sys.argv[1])\n"
        "database.ensure_schema(); print(database.revision(), 'alembic' in sys.modules)\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "runs.db")],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = sorted(process.communicate()[0].split() for process in processes)
    assert told == [[REVISION, "False"]] * 3 + [[REVISION, "True"]]


class Watched:
    """A connection whose transactions begin when another connection has ended its own."""

    def __init__(self, own: sqlite3.Connection, other: sqlite3.Connection) -> None:
        self.own, self.other, self.said = own, other, list[str]()

    def execute(self, statement: str) -> sqlite3.Cursor:
        self.said.append(statement)
        if statement == "BEGIN IMMEDIATE":
            self.other.execute("ROLLBACK")
        return self.own.execute(statement)


def test_a_new_file_that_another_process_writes_to_is_waited_for(tmp_path: Path) -> None:
    """SQLite itself refuses at once to write another kind of log then."""
    with (
        closing(sqlite3.connect(tmp_path / "runs.db", isolation_level=None)) as own,
        closing(sqlite3.connect(tmp_path / "runs.db", isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        watched = Watched(own, other)
        _write_ahead(watched)
        assert own.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        change = "PRAGMA journal_mode=WAL"
        assert watched.said == [change, "BEGIN IMMEDIATE", "ROLLBACK", change]


def test_an_upgrade_waits_longer_for_another_one_than_a_transaction_does(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is let go while the upgrade waits for the second time."""
    monkeypatch.setattr("tapeworks.storage.connection.engines.BUSY_TIMEOUT_MS", 1)
    waits, other = list[None](), sqlite3.connect(database.file or "", isolation_level=None)
    upgrade_once = Database._upgrade_once

    def counted(self: Database) -> None:
        waits.append(None)
        if len(waits) == 2:
            other.execute("ROLLBACK")
        upgrade_once(self)

    monkeypatch.setattr(Database, "_upgrade_once", counted)
    with closing(other):
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")
        database.ensure_schema()
        assert (database.revision(), len(waits)) == (REVISION, 2)


def test_an_upgrade_does_not_wait_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapeworks.storage.connection.engines.BUSY_TIMEOUT_MS", 1)
    with closing(sqlite3.connect(database.file or "", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseLocked, match="Another program keeps it locked"):
            database.upgrade()
