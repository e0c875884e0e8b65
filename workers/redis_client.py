"""One way to reach Redis, and one check that it is fit to be trusted with a queue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers.addresses import DEFAULT_URL, without_password
from workers.errors import RedisUnreachable, RedisUnsuitable

#: Seconds until a connection that is not answered counts as failed.
CONNECT_TIMEOUT_SECONDS = 2.0

#: Seconds until a command that is not answered counts as failed: above every blocking time-out,
#: and so far below the lease of a run that a frozen Redis does not cost a scheduler its run.
ANSWER_TIMEOUT_SECONDS = 3.0

#: GETEX and BLPOP with fractions of a second.
OLDEST_REDIS = (6, 2)

#: What a URL may say after its question mark. redis-py takes more: what no text can express, and
#: what is decided here, such as time-outs.
OPTIONS = {"db", "username", "password", "protocol", "client_name", "ssl_password"}
OPTIONS |= {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"}
OPTIONS |= {"ssl_cert_reqs", "ssl_check_hostname"}


def connect(url: str) -> redis.Redis:
    """A client for this URL; nothing is sent yet. Raises `RedisUnreachable` for a URL of no use."""
    try:
        _check_text(url)
        client = redis.Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
            socket_timeout=ANSWER_TIMEOUT_SECONDS,
            health_check_interval=5,
            # A connection that idled out is made anew, once; a time-out is not waited for twice.
            retry=Retry(NoBackoff(), retries=1, supported_errors=(redis.ConnectionError,)),
        )
        client.connection_pool.make_connection()  # takes the options, connects nothing
    except (ValueError, TypeError, AttributeError, redis.RedisError) as error:
        raise RedisUnreachable(
            f"Expected a Redis URL such as {DEFAULT_URL}. Received: {without_password(url)}."
        ) from error
    return client


def _check_text(url: str) -> None:
    """Raise `ValueError` for what redis-py would take now and stumble over as it connects."""
    parts = urlsplit(url)
    host = unquote(parts.hostname or "")
    host.encode("idna")
    if "\0" in host or not url.isprintable() or parse_qs(parts.query).keys() - OPTIONS:
        raise ValueError(url)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn what redis-py raises into `RedisUnreachable`, in one sentence."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise unreachable(url, error) from error


def unreachable(url: str, error: BaseException) -> RedisUnreachable:
    """What redis-py raised, in one sentence with what to do about it."""
    if isinstance(error, redis.OutOfMemoryError):
        return RedisUnreachable(
            f"Redis at {without_password(url)} is full: raise its maxmemory, or lift the limit "
            "with: redis-cli CONFIG SET maxmemory 0"
        )
    return RedisUnreachable(
        f"Redis at {without_password(url)} cannot be used: {_reason(error)}. "
        "Start one, or name another with TAPEWORKS_REDIS_URL."
    )


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


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
