"""A Redis or a database of no use: named in one sentence, before anything is stored."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from tapeworks.cluster.redis_server import RedisServer
from tests.support.calls import Call
from tests.support.desk import DONE, nothing_changes, told_in_one_sentence
from tests.support.fleet import Fleet

pytestmark = pytest.mark.slow


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine at which nobody listens, for as long as the test runs."""
    with socket.socket() as bound:  # bound but not listening: nobody else can take it
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


@pytest.fixture
def chatting_port() -> Iterator[int]:
    """A port that is in use by a program that is no Redis."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        leaving = threading.Event()

        def answer() -> None:
            while not leaving.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield int(server.getsockname()[1])
        leaving.set()
        thread.join()


#: A scheduler needs it too, but waits for one that is not there.
NEED_REDIS = ["train --workers 1", "worker", "workers"]


@pytest.mark.parametrize("line", NEED_REDIS)
def test_a_redis_that_is_not_there_is_named(
    line: str, desk: Path, call: Call, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", f"redis://:hush@127.0.0.1:{closed_port}/0")
    with nothing_changes(desk):
        called = call(line)
    told_in_one_sentence(called, 4, f"127.0.0.1:{closed_port}")
    assert "hush" not in called.err


@pytest.mark.parametrize("line", [*NEED_REDIS, "scheduler"])
def test_a_port_that_another_program_uses_is_no_redis(
    line: str, desk: Path, call: Call, chatting_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", f"redis://127.0.0.1:{chatting_port}/0")
    with nothing_changes(desk):
        called = call(line)
    told_in_one_sentence(called, 4, f"127.0.0.1:{chatting_port}")


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1", "http://127.0.0.1", "redis://127.0.0.1:99999/0", "redis://[::1", "redis://h:x"],
)
@pytest.mark.parametrize("line", ["train --workers 1", "workers"])
def test_a_redis_url_of_no_use_is_told(
    url: str, line: str, desk: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", url)
    with nothing_changes(desk):
        called = call(line)
    told_in_one_sentence(called, 4, "edis")


def test_a_wrong_password_for_redis_is_told_and_not_shown(
    shared_fleet: Fleet, desk: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = shared_fleet.redis_url.partition("@")[2]
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", f"redis://:guess@{address}")
    told_in_one_sentence(called := call("workers"), 4, address)
    assert "guess" not in called.err


@pytest.fixture(scope="module")
def forgetful_redis() -> Iterator[RedisServer]:
    """A Redis that drops keys when its memory is full."""
    with RedisServer() as server:
        client = redis.Redis.from_url(server.url)
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.close()
        yield server


@pytest.mark.parametrize("line", ["train --workers 1", "worker", "scheduler"])
def test_a_redis_that_may_drop_keys_is_refused_with_the_remedy(
    line: str,
    desk: Path,
    call: Call,
    forgetful_redis: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", forgetful_redis.url)
    with nothing_changes(desk):
        called = call(line)
    told_in_one_sentence(called, 2, "CONFIG SET maxmemory-policy noeviction")


@pytest.mark.parametrize(
    "line", ["submit", "runs", f"show {DONE}", f"plot {DONE}", f"replay {DONE}"]
)
def test_commands_that_need_no_redis_work_without_one(
    line: str, desk: Path, call: Call, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", f"redis://127.0.0.1:{closed_port}/0")
    assert call(line).code == 0


READERS = [
    "runs",
    "show x",
    "watch x",
    "plot x",
    "compare x y",
    "export x",
    "replay x",
    "submit",
    "train --workers 0",
]


@pytest.mark.parametrize("line", READERS)
@pytest.mark.parametrize(
    ("database_url", "words"),
    [
        ("empty", "empty"),
        ("text", "text"),
        ("/proc/nowhere/runs.db", "/proc/nowhere"),
        ("text/runs.db", "text"),
        ("oracle://localhost/runs", "Expected"),
        ("://", "Expected"),
    ],
)
def test_a_database_of_no_use_is_told(
    line: str,
    database_url: str,
    words: str,
    desk: Path,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", database_url)
    with nothing_changes(desk):
        called = call(line)
    told_in_one_sentence(called, 4, words)


@pytest.mark.parametrize("line", [*READERS, "scheduler", "db check"])
def test_a_database_of_another_version_is_told_with_the_remedy(
    line: str, desk: Path, call: Call, shared_fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", shared_fleet.redis_url)
    with closing(sqlite3.connect(desk / "runs.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
        connection.commit()
    with nothing_changes(desk):
        called = call(line)
    told_in_one_sentence(called, 2, "tapeworks db upgrade")


def test_a_database_of_a_newer_tapeworks_is_not_upgraded(desk: Path, call: Call) -> None:
    with closing(sqlite3.connect(desk / "runs.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with nothing_changes(desk):
        called = call("db upgrade")
    told_in_one_sentence(called, 2, "newer Tapeworks")
