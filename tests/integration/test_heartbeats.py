"""Heartbeats of workers and schedulers, and what `tapeworks health` makes of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.driving.driver import Driver
from tapeworks.scheduler.driving.heartbeat import (
    LONGEST_SILENCE_SECONDS,
    DriverHeartbeat,
    Heartbeat,
)
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.driving.retrying import Patience
from tapeworks.scheduler.errors import Interrupted
from tapeworks.scheduler.events import Alive, DriverEnded, Notice
from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import LeaseLost, StorageUnreachable
from tapeworks.storage.history import History
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.keys import WORKERS_KEY, worker_key
from tapeworks.wire.messages import SchedulerState
from tapeworks.wire.versions import tapeworks_version, tensorflow_version
from tests.support.calls import Call
from tests.support.desk import SMALL
from tests.support.fleet import Fleet
from tests.support.listeners import on
from tests.support.processes import ROOT, Start
from tests.support.training import settings, submitted
from tests.support.waiting import until

HERE = socket.gethostname()


@pytest.fixture
def exchange(shared_fleet: Fleet) -> Iterator[Exchange]:
    """A Redis database in which nobody shows himself."""
    quiet = Exchange(shared_fleet.redis_url.replace("db=0", "db=6"))
    yield quiet
    quiet._redis.flushdb()


def register_worker(exchange: Exchange, **said: object) -> None:
    record = {"name": "w", "host": HERE, "pid": 1, "since": "2026-01-01", "state": "idle"} | said
    exchange._redis.set(worker_key("w"), json.dumps(record), ex=60)
    exchange._redis.sadd(WORKERS_KEY, "w")


# What is shown


def test_a_worker_shows_its_versions_and_its_clock(fleet: Fleet) -> None:
    workers = fleet.exchange.workers()
    assert {(w.version, w.tensorflow) for w in workers} == {
        (tapeworks_version(), tensorflow_version())
    }
    assert all(worker.clock and worker.python and worker.cores for worker in workers)


@pytest.mark.parametrize("said", [{}, {"version": "9.9", "mood": "good"}], ids=["older", "newer"])
def test_a_worker_of_another_version_is_seen(exchange: Exchange, said: dict[str, str]) -> None:
    register_worker(exchange, **said)
    assert [worker.version for worker in exchange.workers()] == [said.get("version", "")]


def test_versions_are_listed_when_they_are_not_all_the_same(
    exchange: Exchange, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", exchange.url)
    register_worker(exchange, version=tapeworks_version())
    assert "VERSION" not in call("workers").out
    register_worker(exchange, version="9.9")
    headers, row = call("workers").out.splitlines()
    assert (headers.split()[-1], row.split()[-1]) == ("VERSION", "9.9")
    assert call("workers --json").values[0]["version"] == "9.9"
    register_worker(exchange)
    assert call("workers").out.splitlines()[1].split()[-1] == "older"


def test_a_scheduler_is_registered_with_its_runs_until_it_leaves(exchange: Exchange) -> None:
    heartbeat = Heartbeat(exchange, drivers=2)
    heartbeat.drivers[1](Alive(SchedulerState.DRIVING, "run-1"))
    with heartbeat:
        [record] = until(exchange.schedulers, "the scheduler is registered")
    assert (record.host, record.version) == (HERE, tapeworks_version())
    assert (record.state, record.runs) == (SchedulerState.DRIVING, ("run-1",))
    assert exchange.schedulers() == []


def test_a_scheduler_is_not_registered_while_one_of_its_drivers_is_silent(
    exchange: Exchange,
) -> None:
    heartbeat = Heartbeat(exchange, drivers=2)
    driver = heartbeat.drivers[0]
    assert heartbeat.record()
    driver.heard_at -= LONGEST_SILENCE_SECONDS
    assert heartbeat.record() is None
    driver(Alive(SchedulerState.IDLE))
    assert heartbeat.record()
    driver.heard_at -= LONGEST_SILENCE_SECONDS
    driver(DriverEnded())
    assert heartbeat.record()


# Drivers


def test_a_driver_is_heard_from_inside_its_run(history: History) -> None:
    heard, heartbeat = list[Alive | None](), DriverHeartbeat()
    driver = Driver(
        history=history,
        dispatcher=LocalDispatcher(),
        events=heartbeat,
        check=lambda: heard.append(heartbeat.latest),
    )
    run = submitted(history, settings(**SMALL))
    driver.drive(driver.claim(run.id))
    assert heard
    assert {one and one.run_id for one in heard} == {run.id}
    assert {SchedulerState.DRIVING} <= {one and one.state for one in heard}


def test_a_driver_is_heard_while_it_waits_for_the_database(history: History) -> None:
    control, heartbeat = Control(), DriverHeartbeat()
    patience = Patience(history, control, heartbeat)

    def fail() -> None:
        control.drain()  # so that the pause is the last one
        raise StorageUnreachable("away")

    with pytest.raises(Interrupted):
        patience(fail)
    assert heartbeat.latest == Alive(SchedulerState.WAITING)


def test_a_database_that_says_the_lease_is_lost_is_back(history: History) -> None:
    answers, told = [StorageUnreachable("away"), LeaseLost("another's")], list[str]()
    patience = Patience(history, Control(), on(Notice, lambda event: told.append(event.kind)))

    def fail() -> None:
        raise answers.pop(0)

    with pytest.raises(LeaseLost):
        patience(fail)
    assert told == ["database_unreachable", "database_back"]


# Health


def test_a_scheduler_is_healthy_from_its_start_to_its_end(
    exchange: Exchange, start: Start, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", exchange.url)
    called = call("health scheduler")
    assert (called.code, called.out) == (1, "")
    assert HERE in called.last_words
    assert "tapeworks scheduler" in called.last_words

    scheduler = start("scheduler")
    until(lambda: call("health scheduler").code == 0, "the scheduler is healthy")
    until(lambda: [one.database for one in exchange.schedulers()] != [""], "it shows its database")
    [shown] = exchange.schedulers()
    with closing(Database(shown.address)) as served:
        assert shown.database == served.read_id()
    scheduler.process.send_signal(signal.SIGSTOP)
    until(lambda: call("health scheduler").code == 1, "a frozen scheduler is not healthy")
    scheduler.process.send_signal(signal.SIGCONT)
    until(lambda: call("health scheduler").code == 0, "it is healthy again")
    scheduler.interrupt()
    assert scheduler.ended() == 130
    assert exchange.schedulers() == []


def test_a_worker_is_healthy_when_it_is_here_and_ready(
    exchange: Exchange, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", exchange.url)
    assert call("health worker").code == 1
    register_worker(exchange, host="elsewhere", fingerprint="abc")
    assert call("health worker").code == 1
    register_worker(exchange, state="starting")
    called = call("health worker")
    assert called.code == 1
    assert "starting" in called.last_words
    register_worker(exchange, fingerprint="abc")
    called = call("health worker")
    assert (called.code, called.out, called.err) == (0, "", "")


def test_nothing_is_healthy_without_redis(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", "redis://127.0.0.1:1/0")
    for kind in ("worker", "scheduler"):
        called = call(f"health {kind}")
        assert called.code == 1
        assert "cannot be used" in called.last_words


def test_asking_for_health_loads_nothing_heavy() -> None:
    program = (
        "import sys, tapeworks.__main__ as program; "
        "assert program.run(['health', 'worker']) == 1; print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"TAPEWORKS_REDIS_URL": "redis://127.0.0.1:1/0"},
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"tensorflow", "sqlalchemy", "celery", "sklearn", "matplotlib", "pandas"}
    assert heavy & set(loaded.stdout.split()) == set()
