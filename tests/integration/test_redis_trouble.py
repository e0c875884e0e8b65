"""A Redis that is frozen, full or killed, and what its users make of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tapeworks.cluster import redis_server
from tapeworks.cluster.redis_server import RedisServer
from tapeworks.errors import UsageError
from tapeworks.model.config import RunConfig
from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.storage.history import History
from tapeworks.wire.errors import RedisUnreachable
from tapeworks.wire.exchange import Exchange
from tapeworks.workers import worker as process
from tapeworks.workers.supervisor import Supervisor
from tapeworks.workers.worker import Worker
from tests.support.fleet import Fleet
from tests.support.messages import HEADER, message
from tests.support.redis_servers import server_process
from tests.support.training import Digests, drive, settings, submitted
from tests.support.waiting import until

pytestmark = pytest.mark.slow

Undisturbed = Callable[[RunConfig], Digests]

#: What a Redis is asked for: (what, how).
USES: dict[str, Callable[[Exchange], object]] = {
    "server id": lambda exchange: exchange.server_id(),
    "arrival": lambda exchange: exchange.arrivals("no-run", 0.5),
    "message": lambda exchange: exchange.send([message("no-run", iteration=0)]),
    "workers": lambda exchange: exchange.workers(),
}

#: What of this a full Redis refuses.
WRITES: dict[str, Callable[[Exchange], object]] = {
    "message": USES["message"],
    "parameters": lambda exchange: exchange.publish(b"parameters", 60),
    "answer": lambda exchange: exchange.answer(HEADER, b"arrays"),
}


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def exchange(server: RedisServer) -> Iterator[Exchange]:
    exchange = Exchange(server.url)
    yield exchange
    exchange._redis.close()


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as client:
        yield client


@pytest.mark.parametrize("use", USES)
def test_a_frozen_redis_is_unreachable_for_every_use(
    use: str, server: RedisServer, exchange: Exchange
) -> None:
    USES[use](exchange)  # so that there are connections which fall silent
    frozen = server_process(server)
    frozen.suspend()
    try:
        with pytest.raises(RedisUnreachable, match="cannot be used"):
            USES[use](exchange)
    finally:
        frozen.resume()
    USES[use](exchange)


@pytest.mark.parametrize("write", WRITES)
def test_a_full_redis_says_what_to_do(write: str, exchange: Exchange, client: redis.Redis) -> None:
    client.config_set("maxmemory", 1)
    with pytest.raises(RedisUnreachable, match="is full: raise its maxmemory"):
        WRITES[write](exchange)
    client.config_set("maxmemory", 0)
    WRITES[write](exchange)


def refused_answers(client: redis.Redis) -> int:
    """Return how often a full Redis has refused an answer."""
    statistics = client.info("commandstats").get("cmdstat_set", {})
    return int(statistics.get("rejected_calls", 0))


def test_a_worker_writes_its_answer_once_a_full_redis_has_room(
    exchange: Exchange, client: redis.Redis
) -> None:
    client.config_set("maxmemory", 1)
    delivering = threading.Thread(target=Worker(exchange).deliver, args=(HEADER, b"arrays"))
    delivering.start()
    try:
        until(lambda: refused_answers(client) >= 3, "the worker has tried again")
    finally:
        client.config_set("maxmemory", 0)
        delivering.join()
    assert exchange.arrivals("no-run", timeout_seconds=0.1) == [HEADER.key.id]
    assert not exchange.arrivals("no-run", timeout_seconds=0.1)


def test_a_worker_gives_an_answer_up_when_redis_stays_full(
    exchange: Exchange, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "DELIVERY_TRIES", 3)
    client.config_set("maxmemory", 1)
    with pytest.raises(RedisUnreachable, match="is full"):
        Worker(exchange).deliver(HEADER, b"arrays")
    assert refused_answers(client) == 3


@pytest.mark.usefixtures("one_by_one")
def test_a_run_goes_on_to_the_same_bits_when_a_full_redis_is_given_room(
    fleet: Fleet, history: History, undisturbed: Callable[[RunConfig], Digests]
) -> None:
    def fill(record: object) -> None:
        if getattr(record, "iteration", None) == 2:
            fleet.redis.config_set("maxmemory", 1)

    def make_room(_: str, sentence: str) -> None:
        if "is full" in sentence:
            fleet.redis.config_set("maxmemory", 0)

    run, before = submitted(history, settings(shards=3)), fleet.process_ids()
    try:
        driven = drive(
            history,
            CeleryDispatcher(fleet.redis_url),
            run,
            on_iteration=fill,
            on_notice=make_room,
        )
    finally:
        fleet.redis.config_set("maxmemory", 0)
    assert driven.digests == undisturbed(settings())
    said = driven.said("redis_unreachable") + driven.said("redis_full")
    assert any("is full" in sentence for sentence in said)
    assert fleet.process_ids() == before


def test_a_worker_whose_redis_dies_while_it_computes_takes_the_next_message(
    server: RedisServer,
    exchange: Exchange,
    history: History,
    undisturbed: Undisturbed,
    tmp_path: Path,
) -> None:
    config = settings(unfolding="full", images=40, iterations=1, shards=1)
    run, deaths = submitted(history, config), list[str]()

    def die_in_the_middle() -> None:
        until(lambda: [w for w in exchange.workers() if w.shard_in_hand], "it computes")
        server_process(server).kill()
        until(lambda: b"is given up" in log.read_bytes(), "it has given up its answer")
        until(server.revive, "Redis is started again")
        deaths.append("once")

    log = tmp_path / "workers.log"
    with log.open("wb") as kept:
        supervisor = Supervisor(server.url, 1, kept, {"TAPEWORKS_LOG_LEVEL": "info"})
        supervisor.start()
    killer = threading.Thread(target=die_in_the_middle)
    try:
        until(lambda: supervisor.ready(exchange.workers()), "the worker is ready")
        killer.start()
        driven = drive(history, CeleryDispatcher(server.url), run)
    finally:
        killer.join()
        supervisor.stop(drain_seconds=0.0)
    assert deaths
    assert driven.digests == undisturbed(config)
    assert len({entry.worker for entry in history.ledger(run.id)}) == 1


def test_a_killed_private_redis_is_started_again_empty_at_the_same_url(
    server: RedisServer, exchange: Exchange, client: redis.Redis
) -> None:
    assert not server.revive()
    before, process_id = exchange.server_id(), server_process(server).pid
    client.set("remember", "this")
    server_process(server).kill()
    until(server.revive, "it is started again")
    assert exchange.server_id() != before
    assert server_process(server).pid != process_id
    assert client.get("remember") is None
    assert not server.revive()


def test_a_private_redis_whose_shell_was_killed_is_replaced(
    server: RedisServer, exchange: Exchange
) -> None:
    orphan, before = server_process(server), exchange.server_id()
    shell = orphan.parent()
    assert shell is not None
    shell.send_signal(signal.SIGKILL)
    until(server.revive, "another is started")
    assert not orphan.is_running()
    assert exchange.server_id() != before


def test_a_private_redis_that_cannot_be_started_again_is_told_in_one_sentence(
    server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\necho 'Redis server v=99.0.0 is out of order'\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(redis_server, "RESTART_SECONDS", 0.2)
    server_process(server).kill()
    with pytest.raises(UsageError, match=r"ended right after its start: .* out of order"):
        until(server.revive, "it is started again")
