"""The schema: what migrations make is what the tables declare, and no other is accepted."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from safetensors.numpy import save
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import OperationalError

from model.config import RunConfig
from storage.checkpoints import digest_of
from storage.database import Database
from storage.engines import _write_ahead
from storage.errors import (
    DatabaseLocked,
    ForeignTables,
    SchemaMismatch,
    StateConflict,
    StorageError,
)
from storage.history import History
from storage.migrations import REVISION
from storage.records import ImageValues, RunStatus
from storage.rows import note
from storage.tables import metadata
from storage.upgrade import alembic_config
from storage.views import COLUMNS

ROOT = Path(__file__).parents[2]

#: The iterations that the second revision copies at a time.
SLICE = 200

LOSSES, NORMS = [0.1, 2.0, 1e-9], [1.5, 0.0, 3e8]

#: Binary values of the statements below.
PARTS = {
    "before": b"before",
    "after": b"after",
    "values": save(
        {
            "losses": np.array(LOSSES, np.float32),
            "gradient_norms": np.array(NORMS, np.float32),
            "predictions": np.array([1, 0, 1], np.int32),
        }
    ),
}

#: A history as the first revision stored it.
FIRST_REVISION = (
    (
        "INSERT INTO runs VALUES ('r1', 'trained', 'paused', NULL, '{\"images\": 3}', 5, 2, "
        "'2026-03-01 12:00:00.123456', NULL, NULL, NULL, 2, NULL, 'f', 'i', 'p', 3.5, 2.5)"
    ),
    (
        f"INSERT INTO checkpoints VALUES ('r1', 0, '{digest_of(b'before')}', :before), "
        f"('r1', 2, '{digest_of(b'after')}', :after)"
    ),
    "INSERT INTO evaluations VALUES ('r1', 1, 4, 1.5, 0.5), ('r1', 2, 4, 0.5, 0.75)",
    (
        "INSERT INTO events VALUES (1, 'r1', '2026-03-01 12:00:00', 'submitted', 'submitted'), "
        "(7, 'r1', '2026-03-01 12:00:01', 'going_on', 'it went on')"
    ),
    (
        "INSERT INTO iterations VALUES ('r1', 0, 3, 3.5, 0.3333333333333333, 1.0, 'no digest', "
        "1, 1, 1, 1, '2026-03-01 12:00:01', 0.5), ('r1', 1, 3, 2.5, 0.6666666666666666, 0.5, "
        f"'{'ab' * 32}', 2, 2, 3, 2, '2026-03-01 12:00:02.500000', 0.5)"
    ),
    "INSERT INTO image_values VALUES ('r1', 1, :values)",
    (
        "INSERT INTO ledger VALUES "
        "('r1', 0, 0, 0, 2, 0, 1, 1, 'left', 0.125, '2026-03-01 12:00:01.25'), "
        "('r1', 0, 1, 2, 1, 0, 1, 1, 'left', 0.125, '2026-03-01 12:00:01.25'), "
        "('r1', 1, 0, 0, 1, 0, 1, 1, 'left', 0.25, '2026-03-01 12:00:03'), "
        "('r1', 1, 1, 1, 1, 0, 1, 1, 'left', 0.25, '2026-03-01 12:00:03'), "
        "('r1', 1, 2, 2, 1, 1, 2, 2, 'right', 0.5, '2026-03-01 12:00:03.000001')"
    ),
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "runs.db")
    yield database
    database.close()


@pytest.fixture
def either(database_url: str) -> Iterator[Database]:
    """A new database of each kind."""
    database = Database(database_url)
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


def test_migrated_tables_are_the_declared_tables(either: Database) -> None:
    either.upgrade()
    with either.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_what_the_first_revision_held_is_there_after_the_upgrade(either: Database) -> None:
    """A run of two iterations of three images, with everything that could be stored of it."""
    with either._transaction("migrate") as connection:
        command.upgrade(alembic_config(connection), "0001")
        for statement in FIRST_REVISION:
            connection.execute(text(statement), PARTS)

    either.upgrade()

    history = History(either)
    run = history.find_run("trained")
    assert (run.id, run.status, run.epoch, run.priority) == ("r1", RunStatus.PAUSED, 2, 0)
    assert (run.configuration["images"], run.configuration["optimizer"]) == (3, "sgd")
    assert set(run.configuration) <= set(RunConfig.model_fields)
    assert (run.first_loss, run.final_loss) == (3.5, 2.5)
    assert (run.test_loss, run.test_accuracy) == (0.5, 0.75)
    assert run.created_at == datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    assert [record.loss for record in history.iterations("r1")] == [3.5, 2.5]
    assert [record.accuracy for record in history.iterations("r1")] == [1 / 3, 2 / 3]
    second = history.iterations("r1")[1]
    assert second.parameters_digest == "ab" * 32
    assert second.started_at == datetime(2026, 3, 1, 12, 0, 2, 500000, tzinfo=UTC)
    assert history.image_values("r1", 1) == ImageValues(
        losses=np.array(LOSSES, "<f4").tobytes(),
        gradient_norms=np.array(NORMS, "<f4").tobytes(),
        predictions=bytes([1, 0, 1]),
    )
    lines = history.ledger("r1", 1)
    assert [(line.first_image, line.image_count, line.worker) for line in lines] == [
        (0, 2, "left"),
        (2, 1, "right"),
    ]
    assert [(line.attempt, line.epoch, line.seconds) for line in lines] == [
        (1, 1, 0.25),
        (2, 2, 0.5),
    ]
    assert lines[1].received_at == datetime(2026, 3, 1, 12, 0, 3, 1, tzinfo=UTC)
    assert [(one.name, one.images, one.answers) for one in history.workers("r1")] == [
        ("left", 5, 2),
        ("right", 1, 1),
    ]
    assert history.checkpoint("r1").parameters == b"after"
    assert history.checkpoint("r1", 0).digest == digest_of(b"before")
    assert [event.message for event in history.events("r1")] == ["submitted", "it went on"]
    with either.write() as connection:
        note(connection, "r1", either.now(), "later", "events are numbered on")
    assert len(history.events("r1")) == 3


def test_an_optimizers_state_of_the_second_revision_gets_its_digest(either: Database) -> None:
    either.upgrade()
    history = History(either)
    run = history.create_run(
        name=None,
        configuration={},
        iterations=1,
        parameters=b"parameters",
        parameters_digest=str(digest_of(b"parameters")),
        optimizer_state=b"state",
    )
    with either._transaction("migrate") as connection:
        for view in COLUMNS:
            connection.execute(text(f"DROP VIEW IF EXISTS {view}"))
        connection.execute(text("ALTER TABLE stored_checkpoints DROP COLUMN state_digest"))
    stamp(either, "0002")

    either.upgrade()

    checkpoint = history.checkpoint(run.id)
    assert (checkpoint.optimizer_state, checkpoint.state_digest) == (b"state", digest_of(b"state"))


def test_a_long_run_is_copied_in_parts(database: Database) -> None:
    with database._transaction("migrate") as connection:
        command.upgrade(alembic_config(connection), "0001")
        connection.execute(text(FIRST_REVISION[0]))
        for number in range(SLICE * 2 + 1):
            connection.execute(
                text(
                    "INSERT INTO iterations VALUES ('r1', :number, 0, 0.5, 0.5, 1.0, 'no digest', "
                    "1, 1, 1, 1, '2026-03-01 12:00:01', 0.5)"
                ),
                {"number": number},
            )
    database.upgrade()
    copied = [record.iteration for record in History(database).iterations("r1")]
    assert copied == list(range(SLICE * 2 + 1))


def test_nobody_commits_to_the_old_tables_while_they_are_copied(postgres_url: str) -> None:
    database, other = Database(postgres_url), create_engine(Database(postgres_url)._url)
    with database._transaction("migrate") as connection:
        command.upgrade(alembic_config(connection), "0001")
    refused = list[str]()

    def try_to_write(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith("INSERT INTO stored_checkpoints"):
            with other.connect() as second, suppress(OperationalError):
                second.execute(text("SET lock_timeout = 50"))
                second.execute(text("UPDATE runs SET name = 'late'"))
                return
            refused.append(statement)

    event.listen(database._engine, "before_cursor_execute", try_to_write)
    database.upgrade()
    assert refused
    database.close()
    other.dispose()


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
    assert f"is at revision 0000, this Tapeworks needs {REVISION}. " in str(refusal.value)
    assert str(refusal.value).endswith("Run: tapeworks db upgrade")


def test_a_file_with_tables_of_something_else_is_refused(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("CREATE TABLE music (title TEXT)"))
    with pytest.raises(ForeignTables, match=r"tables of another program: music\. Name"):
        database.check_schema()


def test_upgrading_what_a_newer_tapeworks_wrote_is_refused(database: Database) -> None:
    database.check_schema()
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
        "import sys; from storage.database import Database\n"
        "sys.stdin.readline(); database = Database(sys.argv[1])\n"
        "database.check_schema(); print(database.revision(), 'alembic' in sys.modules)\n"
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
        _write_ahead(watched)  # type: ignore[arg-type]
        assert own.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        change = "PRAGMA journal_mode=WAL"
        assert watched.said == [change, "BEGIN IMMEDIATE", "ROLLBACK", change]


def test_an_upgrade_waits_longer_for_another_one_than_a_transaction_does(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is let go while the upgrade waits for the second time."""
    monkeypatch.setattr("storage.engines.BUSY_TIMEOUT_MS", 1)
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
        database.check_schema()
        assert (database.revision(), len(waits)) == (REVISION, 2)


def test_an_upgrade_does_not_wait_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.engines.BUSY_TIMEOUT_MS", 1)
    with closing(sqlite3.connect(database.file or "", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseLocked, match="Another program keeps it locked"):
            database.upgrade()
