"""Real worker processes that die, or live and take nothing, and what is made of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tapeworks.cluster.redis_server import RedisServer
from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.storage.history import History
from tapeworks.storage.records import RunStatus
from tapeworks.wire.errors import WorkerExited
from tapeworks.wire.exchange import Exchange
from tapeworks.workers import supervisor as supervising
from tapeworks.workers.supervisor import WORN, Supervisor
from tapeworks.workers.worker import NOT_CONSUMING
from tests.support.messages import message
from tests.support.processes import ROOT
from tests.support.training import drive, settings, submitted
from tests.support.waiting import DEADLINE_SECONDS, until

pytestmark = pytest.mark.slow

#: Makes the supervisor of one worker, which is stopped with the test.
Supervise = Callable[[], Supervisor]


@pytest.fixture
def redis_url() -> Iterator[str]:
    """A Redis at which nobody else works."""
    with RedisServer() as server:
        yield server.url


@pytest.fixture
def supervise(redis_url: str) -> Iterator[Supervise]:
    made: list[Supervisor] = []
    with tempfile.TemporaryFile() as log:

        def supervise() -> Supervisor:
            made.append(Supervisor(redis_url, 1, log))
            made[-1].start()
            return made[-1]

        try:
            yield supervise
        finally:
            for supervisor in made:
                supervisor.stop(drain_seconds=0.0)


def killed(supervisor: Supervisor) -> int:
    """Kill the one worker."""
    [victim] = supervisor.process_ids
    os.kill(victim, signal.SIGKILL)
    return victim


def successor(supervisor: Supervisor, victim: int) -> int:
    """Wait for the process after this one."""

    def look() -> set[int]:
        return supervisor.process_ids - {victim}

    [process_id] = until(look, "another worker is started")
    return process_id


def test_a_ready_worker_may_be_killed_as_often_as_one_likes(
    supervise: Supervise, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervising, "EARLY_DEATHS", 1)
    supervisor, exchange = supervise(), Exchange(redis_url)
    for _ in range(2):
        until(lambda: supervisor.ready(exchange.workers()), "the worker is ready")
        successor(supervisor, killed(supervisor))
        supervisor.check()


def test_a_worker_that_dies_before_it_is_ready_is_an_early_death_until_one_gets_ready(
    supervise: Supervise, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervising, "EARLY_DEATHS", 1)
    supervisor, exchange = supervise(), Exchange(redis_url)
    successor(supervisor, killed(supervisor))
    with pytest.raises(WorkerExited, match="before they were ready"):
        supervisor.check()
    until(lambda: supervisor.ready(exchange.workers()), "the successor is ready")
    until(lambda: not fails(supervisor), "its readiness clears the count")


def fails(supervisor: Supervisor) -> bool:
    try:
        supervisor.check()
    except WorkerExited:
        return True
    return False


def test_workers_that_cannot_start_are_given_up(
    supervise: Supervise, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_LOG_LEVEL", "no such level")
    monkeypatch.setattr(supervising, "EARLY_DEATHS", 2)
    supervisor = supervise()
    until(lambda: fails(supervisor), "the supervisor gives up")


def test_a_worker_that_is_up_but_takes_nothing_ends_itself_and_says_why(
    redis_url: str, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        deaf = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.support.deaf_worker"],
            env=os.environ | {"TAPEWORKS_REDIS_URL": redis_url, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: ready(Exchange(redis_url)), "the worker is ready")
        assert deaf.poll() is None  # an empty queue is no reason to end
        Exchange(redis_url).send([message("unheard", iteration=0)])
        assert deaf.wait(DEADLINE_SECONDS) == NOT_CONSUMING, log.read_text()
    finally:
        deaf.kill()
        deaf.wait()
    assert "took nothing for 3 heartbeats while messages waited in the queue" in log.read_text()
    assert Exchange(redis_url).queue_length() == 1
    assert Exchange(redis_url).workers() == []


def ready(exchange: Exchange) -> bool:
    return any(worker.fingerprint for worker in exchange.workers())


#: A worker that may hold the golden network alone.
SMALL = (
    "from tapeworks.model.engine import gradients; import tapeworks.workers.__main__ as worker; "
    "gradients.MOST_NETWORKS = 1; "
    "worker.main()"
)


def test_a_worker_that_has_compiled_all_it_may_hold_answers_and_leaves_in_order(
    redis_url: str, history: History, tmp_path: Path
) -> None:
    exchange, log = Exchange(redis_url), tmp_path / "worker.log"
    run = submitted(history, settings(filters=3, images=16, iterations=1, shards=1))
    with log.open("wb") as output:
        small = subprocess.Popen(
            [sys.executable, "-c", SMALL],
            env=os.environ | {"TAPEWORKS_REDIS_URL": redis_url, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: ready(exchange), "the worker is ready")
        driven = drive(history, CeleryDispatcher(redis_url), run)
        assert small.wait(DEADLINE_SECONDS) == WORN, log.read_text()
    finally:
        small.kill()
        small.wait()
    assert driven.run.status is RunStatus.COMPLETED
    assert exchange.workers() == []
