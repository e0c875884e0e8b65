"""The ingredients of calls of the command line, right ones and wrong ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

from tapeworks.cluster.redis_server import RedisServer
from tapeworks.model import datasets
from tapeworks.model.config import RunConfig
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tests.support.calls import TRAIN_FIRST, Call
from tests.support.desk import put_wrong_files, two_runs_in
from tests.support.healthy import healthy
from tests.support.observed import Observed, observe
from tests.support.postgres import PostgresServer, new_database
from tests.support.processes import processes
from tests.support.redis_servers import redis_with
from tests.support.secured_redis import SecuredRedis, secured_redis


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredRedis]:
    """A Redis with the users of `tapeworks secrets`."""
    with secured_redis(tmp_path_factory.mktemp("secured")) as server:
        yield server


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """The authority that signs the certificates of servers."""
    return trustme.CA()


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a completed run and one that waits in the queue."""
    return two_runs_in(tmp_path_factory.mktemp("two-runs"))


@pytest.fixture
def desk(places: Path, two_runs: Path) -> Path:
    """A user's directory with that database and all kinds of wrong files."""
    shutil.copy(two_runs, places / "runs.db")
    put_wrong_files(places)
    return places


@pytest.fixture
def trained(places: Path, call: Call) -> dict[str, Any]:
    """The words of `train` about a run with a name, in a new user's directory."""
    called = call(TRAIN_FIRST)
    assert called.code == 0, called.err
    values: dict[str, Any] = called.values
    return values


@pytest.fixture(scope="session")
def observed(
    shared_postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Observed]:
    """A scheduler and workers that were watched through all kinds of trouble."""
    if shared_postgres.process is None:
        shared_postgres.start()
    directory = tmp_path_factory.mktemp("observed")
    with (
        RedisServer() as server,
        new_database(shared_postgres.url(), "observed") as address,
        closing(Database(address)) as database,
        processes(directory, {"HOME": str(directory)}) as start,
    ):
        database.upgrade()
        yield observe(server, shared_postgres, History(database), address, start)


@pytest.fixture
def found(places: Path) -> Iterator[History]:
    history = History.open(places / "runs.db")
    yield history
    history.database.close()


@pytest.fixture(scope="session")
def limited_redis() -> Iterator[str]:
    """A Redis with a limit of its memory, for all tests that leave it as it is."""
    datasets.load(RunConfig())  # what takes seconds the first time; a record lives for five
    with redis_with("--maxmemory", "100mb") as url:
        yield url


@pytest.fixture
def cluster(
    limited_redis: str, places: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SimpleNamespace]:
    """A set-up that `tapeworks doctor` has nothing to say of."""
    with healthy(limited_redis, places, monkeypatch) as set_up:
        yield set_up
