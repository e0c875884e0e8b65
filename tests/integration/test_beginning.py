"""A scheduler that begins while what it needs is away, or set up wrongly."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.driving.retrying import Beginning
from tapeworks.scheduler.errors import Interrupted
from tapeworks.scheduler.events import Notice
from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import SchemaMismatch, StorageRefused, StorageUnreachable
from tapeworks.wire.errors import RedisRefused, RedisUnreachable, RedisUnsuitable
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.redis_programs import executable
from tests.support.calls import Call
from tests.support.listeners import on
from tests.support.postgres import PostgresServer
from tests.support.processes import Start
from tests.support.redis_servers import redis_with
from tests.support.waiting import until

pytestmark = pytest.mark.slow


class Told:
    """The notices to the user about the waiting."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.control = Control()
        self.beginning = Beginning(self.control, on(Notice, self.notice))

    def notice(self, event: Notice) -> None:
        self.kinds.append(event.kind)


def test_an_outage_is_told_once_and_so_is_its_end(
    postgres: PostgresServer, postgres_url: str
) -> None:
    told, database, tries = Told(), Database(postgres_url), list[int]()
    database.upgrade()
    postgres.kill()

    def attempt() -> None:
        tries.append(1)
        if len(tries) == 3:
            postgres.launch()  # for a moment it is starting up
        database.ensure_schema()

    told.beginning.wait_for("the database", attempt)
    database.close()
    assert told.kinds == ["waiting", "going_on"]


@pytest.mark.parametrize(
    "error",
    [StorageRefused("no"), SchemaMismatch("x", None, "1"), RedisRefused(), RedisUnsuitable()],
)
def test_what_a_person_must_correct_is_not_waited_for(error: Exception) -> None:
    told = Told()

    def attempt() -> None:
        raise error

    with pytest.raises(type(error)):
        told.beginning.wait_for("Redis", attempt)
    assert told.kinds == []


@pytest.mark.parametrize("error", [StorageUnreachable("away"), RedisUnreachable("away")])
def test_an_interrupt_ends_the_waiting(error: Exception) -> None:
    told = Told()

    def attempt() -> None:
        told.control.interrupt()
        raise error

    with pytest.raises(Interrupted):
        told.beginning.wait_for("Redis", attempt)
    assert told.kinds == ["waiting"]


def test_a_wrong_password_of_redis_is_a_mistake() -> None:
    with redis_with("--requirepass", "right") as url:
        with pytest.raises(RedisRefused, match="invalid username-password"):
            Told().beginning.wait_for("Redis", Exchange(url.replace("//", "//:wrong@")).check)
        with pytest.raises(RedisRefused, match="it asks for a password, and none is named"):
            Told().beginning.wait_for("Redis", Exchange(url).check)


@pytest.fixture
def port() -> int:
    """A port at which nobody listens yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_scheduler_waits_for_redis_then_for_its_database_and_then_begins(
    start: Start,
    call: Call,
    port: int,
    postgres: PostgresServer,
    postgres_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", f"redis://127.0.0.1:{port}/0")
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", postgres_url)
    assert call("db upgrade").code == 0
    postgres.kill()
    scheduler = start("scheduler")
    until(lambda: scheduler.says("Waiting for Redis: "), "it waits for Redis")
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", ""]
    redis = subprocess.Popen([str(executable()), *options], stdout=subprocess.DEVNULL)
    try:
        until(lambda: scheduler.says("Redis is there; going on."), "Redis is there")
        until(lambda: scheduler.says("Waiting for the database: "), "it waits for the database")
        until(lambda: call("health scheduler").code == 0, "it shows itself meanwhile")
        postgres.start()
        until(lambda: scheduler.says("Scheduler takes runs from"), "it begins")
        scheduler.interrupt()
        assert scheduler.ended() == 130
    finally:
        redis.kill()
        redis.wait()
    assert scheduler.err.count("Waiting for") == 2
    assert "once more to stop" not in scheduler.err, "nothing was in hand"
    assert "\nStopping\n" in scheduler.err
