"""One way to reach Redis, and one check that it is fit to be trusted with a queue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers.addresses import DEFAULT_URL, without_password
from workers.errors import RedisUnreachable, RedisUnsuitable

#: Seconds until a connection that is not answered counts as failed.
CONNECT_TIMEOUT_SECONDS = 2.0

#: Seconds until a command that is not answered counts as failed; above every blocking time-out.
ANSWER_TIMEOUT_SECONDS = 5.0

#: GETEX and BLPOP with fractions of a second.
OLDEST_REDIS = (6, 2)


def connect(url: str) -> redis.Redis:
    """A client for this URL; nothing is sent yet. Raises `RedisUnreachable` for a URL of no use."""
    try:
        return redis.Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
            socket_timeout=ANSWER_TIMEOUT_SECONDS,
            health_check_interval=5,
            retry=Retry(NoBackoff(), retries=1),  # a connection that idled out; the rest is ours
        )
    except ValueError as error:
        raise RedisUnreachable(
            f"Expected a Redis URL such as {DEFAULT_URL}. Received: {without_password(url)}."
        ) from error


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn what redis-py raises into `RedisUnreachable`, in one sentence."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise RedisUnreachable(
            f"Redis at {without_password(url)} cannot be used: {_reason(error)}. "
            "Start one, or name another with TAPEWORKS_REDIS_URL."
        ) from error


def check(client: redis.Redis, url: str) -> None:
    """Raise unless Redis answers, is new enough and never evicts keys."""
    with translated(url):
        server = client.info("server")
        memory = client.info("memory")
    version = str(server["redis_version"])
    if tuple(map(int, version.split(".")[:2])) < OLDEST_REDIS:
        raise RedisUnsuitable(
            f"Expected Redis 6.2 or newer at {without_password(url)}. Received: {version}."
        )
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise RedisUnsuitable(
            f"Redis at {without_password(url)} may drop keys: expected maxmemory-policy noeviction."
            f" Received: {policy}. Set it with: redis-cli CONFIG SET maxmemory-policy noeviction"
        )


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
