"""Accesses to Redis' keys, as the benchmarks count them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from benchmarks.key_accesses import KeyAccesses
from tests.faults.chaos.network import LOOPBACK
from tests.faults.chaos.redis_process import RedisProcess


@pytest.fixture
def client(tmp_path: Path) -> Iterator[redis.Redis]:
    """A client of a Redis of our own."""
    server = RedisProcess(tmp_path, LOOPBACK, [])
    server.start()
    with closing(server), closing(redis.Redis.from_url(server.url(LOOPBACK))) as connected:
        yield connected


def test_writes_and_reads_are_counted_apart(client: redis.Redis) -> None:
    with KeyAccesses(client) as accesses:
        for times, key in enumerate(("one", "two"), start=1):
            for _ in range(times):
                client.set(key, "value", ex=60)
        for _ in range(100):
            client.getrange("one", 0, 3)
        client.exists("one", "two")

        assert accesses.of(["one", "two"]) == ([1, 2], [100, 0])


def test_more_accesses_than_redis_counts_are_refused(client: redis.Redis) -> None:
    with KeyAccesses(client) as accesses:
        client.set("key", "value")
        for _ in range(300):
            client.get("key")

        with pytest.raises(RuntimeError, match="255"):
            accesses.of(["key"])
