"""The schema: what migrations make is what the tables declare, and no other is accepted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from storage.database import Database
from storage.errors import SchemaMismatch, StateConflict, StorageError
from storage.migrations import REVISION
from storage.rows import note
from storage.tables import metadata
from storage.upgrade import alembic_config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "runs.db")
    yield database
    database.close()


def stamp(database: Database, revision: str) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})


def test_migrated_tables_are_the_declared_tables(database: Database) -> None:
    database.check_schema()
    with database.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_the_revision_that_the_code_needs_is_the_newest(database: Database) -> None:
    with database.read() as connection:
        scripts = ScriptDirectory.from_config(alembic_config(connection))
    assert scripts.get_heads() == [REVISION]


def test_a_new_sqlite_file_gets_its_tables_by_itself(database: Database) -> None:
    assert database.revision() is None
    database.check_schema()
    assert database.revision() == REVISION


def test_another_revision_is_refused_with_the_command_that_helps(database: Database) -> None:
    database.check_schema()
    stamp(database, "0000")
    with pytest.raises(SchemaMismatch) as refusal:
        database.check_schema()
    assert "is at revision 0000, this Tapeworks needs 0001. " in str(refusal.value)
    assert str(refusal.value).endswith("Run: tapeworks db upgrade")


def test_a_file_with_tables_of_something_else_is_refused(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("CREATE TABLE music (title TEXT)"))
    with pytest.raises(SchemaMismatch, match="has no revision"):
        database.check_schema()


def test_upgrading_what_a_newer_tapeworks_wrote_is_refused(database: Database) -> None:
    database.check_schema()
    stamp(database, "9999")
    with pytest.raises(StorageError, match=r"9999.*install that one"):
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
    script = (
        "import sys; from storage.database import Database\n"
        "sys.stdin.readline(); database = Database(sys.argv[1])\n"
        "database.check_schema(); print(database.revision())\n"
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
    assert [process.communicate()[0].strip() for process in processes] == [REVISION] * 4
