"""A thief of a worker's password who asks Redis for more than it can hold, and reads nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from tapeworks.model.config import RunConfig
from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.storage.history import History
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.keys import worker_key
from tapeworks.workers.supervisor import Supervisor
from tests.support.compose.project import load
from tests.support.secured_redis import SecuredRedis, secured_redis
from tests.support.training import Digests, drive, settings, submitted
from tests.support.waiting import until

pytestmark = pytest.mark.slow

#: What the server may hold, and how much of that its clients may have beside it.
MAXMEMORY_MB, CLIENTS_MB = 64, 32

#: A process without any data, and what an allocator keeps.
OWN_MB = 48

#: What the thief asks for: so many connections, so many replies each, of so many bytes.
CONNECTIONS, REPLIES, VALUE_BYTES = 12, 6, 4 * 2**20


def limits_of(name: str) -> list[str]:
    """The options that bound clients, as a Compose file gives them."""
    given = {"REDIS_TLS_ADDRESS": "10.0.0.5"}
    project = load("docker-compose.yml", name, environment=given)
    words: list[str] = project.services["redis"]["command"]
    starts = [words.index(o) for o in ("--maxmemory-clients", "--client-output-buffer-limit")]
    return [*words[starts[0] :][:2], *words[starts[1] :][:5]]


@pytest.fixture(params=["docker-compose.yml", "compose.tls.yml"])
def limited(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SecuredRedis]:
    options = ["--maxmemory", f"{MAXMEMORY_MB}mb", *limits_of(request.param)]
    with secured_redis(tmp_path, *options) as server:
        yield server


class Thief:
    """Pipelines reads of large records on many connections, until he is stopped."""

    def __init__(self, server: SecuredRedis, pause_seconds: float) -> None:
        self._url, self._pause_seconds = server.url("worker"), pause_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._ask_on)
        self.rounds = 0

    def __enter__(self) -> Thief:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _ask_on(self) -> None:
        with redis.Redis.from_url(self._url, socket_timeout=5) as client:
            while not self._stopped.wait(self._pause_seconds):
                try:
                    client.set(worker_key("thief"), b"x" * VALUE_BYTES, ex=60)
                    self._ask(client)
                except redis.RedisError:
                    continue  # cut off, or the server is full for now
                self.rounds += 1

    def _ask(self, client: redis.Redis) -> None:
        with ExitStack() as stack:
            for _ in range(CONNECTIONS):
                connection: Any = client.connection_pool.make_connection()
                stack.callback(connection.disconnect)
                connection.connect()
                question = connection.pack_command("GET", worker_key("thief"))
                connection.send_packed_command(question * REPLIES)
            client.ping()  # the server has come to all of them


def used_mb(server: SecuredRedis) -> float:
    memory, process = server.admin.info("memory"), server.admin.info("server")["process_id"]
    assert isinstance(memory["maxmemory"], int)
    return psutil.Process(process).memory_info().rss / 2**20


def test_a_thief_who_reads_nothing_takes_redis_no_further_than_its_limits(
    limited: SecuredRedis,
) -> None:
    peak = 0.0
    with Thief(limited, 0.01) as thief:
        while thief.rounds < 8:
            peak = max(peak, used_mb(limited))
    assert peak < MAXMEMORY_MB + CLIENTS_MB + OWN_MB
    assert limited.admin.info("stats")["evicted_clients"] > 0


def test_a_run_goes_on_beside_a_thief_who_reads_nothing(
    tmp_path: Path, history: History, undisturbed: Callable[[RunConfig], Digests]
) -> None:
    options = ["--maxmemory", f"{MAXMEMORY_MB}mb", *limits_of("docker-compose.yml")]
    config = settings(images=32, iterations=4)
    run = submitted(history, config)
    (tmp_path / "redis").mkdir()
    with secured_redis(tmp_path / "redis", *options) as server, ExitStack() as stack:
        supervisor = Supervisor(server.url("worker"), 1)
        stack.callback(supervisor.stop, 0.0)
        supervisor.start()
        exchange = Exchange(server.url("scheduler"))
        until(lambda: supervisor.ready(exchange.workers()), "the worker is ready")
        thief = stack.enter_context(Thief(server, 0.3))
        until(lambda: thief.rounds, "he has begun")
        driven = drive(history, CeleryDispatcher(server.url("scheduler")), run)
        assert server.admin.ping()
    assert driven.digests == undisturbed(config)
