"""Fixtures and helpers that tests of every level share."""

from __future__ import annotations

import functools
import math
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tapeworks.model.config import RunConfig
from tapeworks.model.engine.flags import find_ignored_variables
from tapeworks.places import DATABASE
from tapeworks.scheduler import committing
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tapeworks.wire.addresses import REDIS
from tapeworks.workers.foreign import foreign
from tests.support.calls import Call, caller
from tests.support.fleet import Fleet, running_fleet
from tests.support.postgres import PostgresServer, named_database, running_postgres
from tests.support.processes import Start, processes
from tests.support.training import Digests, database, drive, submitted

# How long an example takes says more about the machine than about the code.
settings.register_profile("tapeworks", deadline=None)
settings.load_profile("tapeworks")

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """Let programs be interrupted, also where the tests run in a shell's background.

    What a shell starts there ignores Ctrl-C, and so does all that it starts in turn.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """A directory of real MNIST files: TAPEWORKS_DATA_DIR, or the one beside the repository."""
    named = os.environ.get("TAPEWORKS_DATA_DIR")
    directory = Path(named) if named else REPOSITORY.parent / "shared" / "data" / "mnist"
    if not directory.is_dir():
        pytest.skip(f"There is no directory {directory}; name one with TAPEWORKS_DATA_DIR.")
    return directory


@pytest.fixture(scope="session")
def shared_fleet() -> Iterator[Fleet]:
    """A Redis and the workers of all tests, which start them as they need them."""
    with running_fleet() as fleet:
        yield fleet


@pytest.fixture
def fleet(shared_fleet: Fleet) -> Fleet:
    """A Redis with two workers or more."""
    shared_fleet.at_least(2)
    return shared_fleet


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL of our own, for all tests that may kill it."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres(shared_postgres: PostgresServer) -> PostgresServer:
    """A PostgreSQL of our own that runs, whatever the test before did to it."""
    if shared_postgres.process is None:
        shared_postgres.start()
    return shared_postgres


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A new PostgreSQL database: on the server that is named, or on one of our own."""
    with named_database(lambda: request.getfixturevalue("postgres")) as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database of each kind that we support."""
    if request.param == "sqlite":
        return str(tmp_path / "runs.db")
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def either_database(database_url: str) -> Iterator[Database]:
    """A new database of each kind, still without tables."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def either_history(either_database: Database) -> History:
    """An empty history in a new database of each kind."""
    either_database.upgrade()
    return History(either_database)


@pytest.fixture
def lone_worker(shared_fleet: Fleet) -> Iterator[Fleet]:
    """A Redis whose only worker takes everything."""
    before = max(len(shared_fleet.supervisors), 1)
    shared_fleet.resize(1)
    yield shared_fleet
    shared_fleet.resize(before)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """An empty history in a file of its own."""
    history = database(tmp_path)
    yield history
    history.database.close()


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every iteration is committed by itself, however short it is."""
    monkeypatch.setattr(committing, "LONGEST_WAIT_SECONDS", 0.0)


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> None:
    """All iterations but the first wait for each other, however long they take."""
    monkeypatch.setattr(committing, "LONGEST_WAIT_SECONDS", math.inf)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[RunConfig], Digests]:
    """The digests that a configuration's run has when one process computes it in one go."""
    history = database(tmp_path_factory.mktemp("undisturbed"))

    @functools.cache
    def digests_of(config: RunConfig) -> Digests:
        local = LocalDispatcher()
        return drive(history, local, submitted(history, config)).digests

    return digests_of


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new user's directory, and nothing named in the environment."""
    move_to(tmp_path, monkeypatch)
    return tmp_path


def move_to(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it a new user's directory, with nothing named in the environment."""
    ours = (*REDIS.variables, *DATABASE.variables, "TAPEWORKS_DATA_DIR")
    for name in (*ours, *foreign(os.environ), *find_ignored_variables(os.environ)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(directory / "home"))
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", str(directory / "runs.db"))
    monkeypatch.chdir(directory)


@pytest.fixture
def start(places: Path) -> Iterator[Start]:
    """Starts `tapeworks` processes, which are ended with the test."""
    with processes(places, {}) as started:
        yield started


@pytest.fixture
def call(places: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls the command line as a new user in a directory of their own."""
    return caller(capsys)
