"""A made-up history on both databases, which tests only read; a history that is observed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.history.filling import fill
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tests.support.commits import ObservedDatabase, Observer
from tests.support.filled import ITERATIONS, RUNS
from tests.support.postgres import VARIABLE, new_database
from tests.support.scenes import Observed


@pytest.fixture(scope="session")
def filled_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The history in an SQLite file."""
    database = Database(tmp_path_factory.mktemp("filled") / "runs.db")
    fill(database, RUNS, ITERATIONS)
    yield database
    database.close()


@pytest.fixture
def filled_postgresql(request: pytest.FixtureRequest) -> Database:
    """The history on the PostgreSQL server that is named, or on our own, which is up now."""
    if VARIABLE not in os.environ:
        request.getfixturevalue("postgres")
    database: Database = request.getfixturevalue("stored_postgresql")
    return database


@pytest.fixture(scope="session")
def stored_postgresql(request: pytest.FixtureRequest) -> Iterator[Database]:
    """The same, whether the server is up or not."""
    url = os.environ.get(VARIABLE) or request.getfixturevalue("shared_postgres").url()
    with new_database(url, f"tapeworks-filled-{uuid.uuid4().hex}") as address:
        database = Database(address)
        fill(database, RUNS, ITERATIONS)
        yield database
        database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest) -> Database:
    """The history on each kind of database."""
    database: Database = request.getfixturevalue(f"filled_{request.param}")
    return database


@pytest.fixture
def observed() -> Iterator[Observed]:
    """Opens a history whose commits an observer sees; closed with the test."""
    histories: list[History] = []

    def open_it(url: str | Path, observer: Observer) -> History:
        histories.append(History(ObservedDatabase(url, observer)))
        histories[-1].database.upgrade()
        return histories[-1]

    yield open_it
    for history in histories:
        history.database.close()
