"""The room that a long run takes in Redis, and the messages when there is none left."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from tapeworks.cluster.redis_server import RedisServer
from tapeworks.model.config import RunConfig
from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.scheduler.dispatch.link import Link
from tapeworks.scheduler.events import Event, Notice
from tapeworks.storage.history import History
from tapeworks.wire.keys import PARAMETERS_SECONDS, RETIRED_SECONDS, payload_key
from tapeworks.wire.redis_client import memory_use
from tests.support.fleet import Fleet
from tests.support.training import Digests, drive, settings, submitted

pytestmark = pytest.mark.slow


def parameters_in_use(fleet: Fleet) -> int:
    """Sets of parameters that would stay; a run's images stay longer."""
    lifetimes = [fleet.redis.ttl(key) for key in fleet.redis.scan_iter(payload_key("*"))]
    return sum(RETIRED_SECONDS < seconds <= PARAMETERS_SECONDS for seconds in lifetimes)


@pytest.mark.usefixtures("one_by_one")
def test_a_run_keeps_one_iterations_parameters_in_redis_however_long_it_is(
    fleet: Fleet, history: History, undisturbed: Callable[[RunConfig], Digests]
) -> None:
    fleet.redis.flushdb()
    config = settings(iterations=12, test_images=10, evaluate_every=3)
    counts: list[int] = []
    driven = drive(
        history,
        CeleryDispatcher(fleet.redis_url),
        submitted(history, config),
        on_iteration=lambda _: counts.append(parameters_in_use(fleet)),
    )
    assert counts == [1] * 12
    assert parameters_in_use(fleet) == 0
    assert driven.digests == undisturbed(config)


@pytest.mark.usefixtures("one_by_one")
def test_a_run_goes_on_when_another_has_retired_the_same_parameters(
    fleet: Fleet, history: History, undisturbed: Callable[[RunConfig], Digests]
) -> None:
    def retire(_: object) -> None:
        for key in fleet.redis.scan_iter(payload_key("*")):
            fleet.redis.delete(key)

    driven = drive(
        history,
        CeleryDispatcher(fleet.redis_url),
        submitted(history, settings()),
        on_iteration=retire,
    )
    assert driven.digests == undisturbed(settings())


class Told:
    """Keeps what a run's history would tell."""

    def __init__(self) -> None:
        self.notices: list[tuple[str, str]] = []

    def tick(self, *, waiting: bool = False) -> None:
        """Nobody keeps a lease."""

    def events(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.notices.append((event.kind, event.message))


def test_a_run_tells_once_that_redis_is_full_and_once_that_it_has_room_again() -> None:
    told = Told()
    with RedisServer() as server:
        link = Link(server.url)
        client = redis.Redis.from_url(server.url)
        limit = int(client.info("memory")["used_memory"] * 1.02)
        for maxmemory in (limit, limit, 0, 0, limit):
            client.config_set("maxmemory", maxmemory)
            link._report_memory(memory_use(client.info("memory")), told)
        client.close()
    assert [kind for kind, _ in told.notices] == ["redis_full", "going_on", "redis_full"]
    assert "% of its maxmemory are in use" in told.notices[0][1]
    assert server._password not in told.notices[0][1]
