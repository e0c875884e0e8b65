"""A mistyped database is named, never made; who stores the first run makes one and says so."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import tapeworks
from tapeworks.cli.commands import COMMANDS
from tapeworks.storage.errors import DatabaseMissing
from tests.support.calls import Call
from tests.support.desk import told_in_one_sentence

#: Commands that make a database, and those that know none.
MAKERS, OTHERS = {"submit", "train", "scheduler"}, {"worker", "workers", "health", "secrets"}
OTHERS |= {"check-network", "doctor", "fingerprint"}

#: A call of every other command.
READING = {
    "pause": "pause x",
    "resume": "resume x",
    "cancel": "cancel x",
    "priority": "priority 1 x",
    "describe": "describe x --note n",
    "retry": "retry x",
    "delete": "delete x --yes",
    "runs": "runs --json",
    "query": "query 'SELECT 1'",
    "show": "show x",
    "watch": "watch x",
    "web": "web --port 0",
    "compare": "compare x y",
    "plot": "plot x",
    "export": "export x",
    "images": "images x",
    "evaluate": "evaluate x",
    "predict": "predict x x.png",
    "replay": "replay x",
    "gc": "gc --older-than 1d",
    "db": "db size",
}

SUBMIT = "submit --images 8 --iterations 1"


@pytest.fixture
def mistyped(places: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of a database that nobody has made, in a directory that nobody has made."""
    file = places / "mistyped" / "runs.db"
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", str(file))
    return file


def test_every_command_is_called_here() -> None:
    assert READING.keys() | MAKERS | OTHERS == COMMANDS.keys()


@pytest.mark.parametrize(
    "line", [*READING.values(), "web --port 0 --read-only", "train --resume x", "db check"]
)
def test_a_command_that_reads_makes_no_database(line: str, mistyped: Path, call: Call) -> None:
    told_in_one_sentence(call(line), 4, f"There is no database at sqlite:///{mistyped}. Name ano")
    assert not mistyped.parent.exists()


def test_an_empty_file_is_no_database_and_stays_empty(mistyped: Path, call: Call) -> None:
    mistyped.parent.mkdir()
    mistyped.touch()
    for line in ("runs", "show x", "watch x", "query 'SELECT 1'", "db check", "db size"):
        told_in_one_sentence(call(line), 4, f"There is no database at sqlite:///{mistyped}")
    call("doctor")
    assert [file.name for file in mistyped.parent.iterdir()] == [mistyped.name]
    assert mistyped.read_bytes() == b""


def test_a_database_without_tables_is_none(mistyped: Path) -> None:
    mistyped.parent.mkdir()
    with closing(sqlite3.connect(mistyped)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    assert mistyped.stat().st_size
    with tapeworks.connect() as client, pytest.raises(DatabaseMissing):
        client.runs()


def test_the_doctor_makes_none(mistyped: Path, call: Call) -> None:
    called = call("doctor")
    assert f"there is none at sqlite:///{mistyped}. The first run makes it" in called.out
    assert (called.code, mistyped.parent.exists()) == (0, False)
    mistyped.parent.touch()
    called = call("doctor")
    assert f"and none can be made in {mistyped.parent}" in called.out
    assert called.code == 4


def test_who_stores_the_first_run_says_that_a_database_is_new(mistyped: Path, call: Call) -> None:
    made = f"Made a new database: sqlite:///{mistyped}"
    first, second = call(SUBMIT), call(SUBMIT)
    assert (first.code, first.err.splitlines()[0]) == (0, made)
    assert (second.code, made in second.err) == (0, False)
    os.environ["TAPEWORKS_DATABASE_URL"] = str(mistyped.with_name("upgraded.db"))
    assert "Made a new database" in call("db upgrade").err
    assert "Made" not in call("db upgrade").err


@pytest.mark.parametrize("is_empty", [False, True])
def test_a_python_client_makes_one_with_its_first_run(
    mistyped: Path, caplog: pytest.LogCaptureFixture, *, is_empty: bool
) -> None:
    if is_empty:
        mistyped.parent.mkdir()
        mistyped.touch()
    config = tapeworks.RunConfig(dataset="digits", images=8, iterations=1)
    with tapeworks.connect() as client:
        for read in (client.runs, lambda: client.run("x"), lambda: client.query("SELECT 1")):
            with pytest.raises(DatabaseMissing, match="There is no database at"):
                read()
        assert mistyped.read_bytes() == b"" if is_empty else not mistyped.parent.exists()
        runs = [client.submit(config), client.submit(config)]
        assert {run.id for run in client.runs()} == {run.id for run in runs}
    assert caplog.messages == [f"Made a new database: sqlite:///{mistyped}"]
