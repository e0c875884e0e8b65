"""Redis: whether it answers, how fast, whether it is fit for a queue, and its memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import redis

from tapeworks.describe import size
from tapeworks.doctor.findings import Finding, Level, ok, problem, warning
from tapeworks.errors import ExitCode, exit_code
from tapeworks.redis_programs import Version
from tapeworks.workers.addresses import without_password
from tapeworks.workers.errors import RedisUnsuitable, WorkersError
from tapeworks.workers.redis_client import (
    FILLING,
    FULL,
    check,
    memory_use,
    translated,
)

LABEL = "redis"

#: How often its answer is timed; the fastest counts.
TRIES = 3

#: Seconds for an answer beyond which an iteration, which waits for several, is slow.
SLOW_SECONDS = 0.1

#: What a person can do, by what redis-py raised; the first that fits.
REMEDIES: list[tuple[type[Exception] | tuple[type[Exception], ...], str]] = [
    (redis.TimeoutError, "See if its machine is overloaded, or a firewall is between."),
    (
        (redis.ConnectionError, OSError),
        "Start it with: redis-server --maxmemory 1gb, or name another with TAPEWORKS_REDIS_URL",
    ),
]


def check_redis(client: redis.Redis, url: str) -> Iterator[Finding]:
    """Its answer, version, policy and memory. Raises `RedisUnreachable`; see `failed`."""
    with translated(url):
        seconds = min(_answer_seconds(client) for _ in range(TRIES))
        version, memory = Version.of_info(client.info("server")), client.info("memory")
    wrong = [*_unsuitable(client, url), *version_findings(version), *memory_findings(memory)]
    if seconds > SLOW_SECONDS:
        remedy = "Run it nearer, or on a machine with less to do; every iteration waits for it."
        wrong.append(warning(LABEL, f"it takes {seconds * 1000:.0f} ms to answer", remedy))
    yield from wrong
    if all(finding.level is not Level.PROBLEM for finding in wrong):
        address = without_password(url)
        yield ok(LABEL, f"{address}, {version}, answers in {seconds * 1000:.1f} ms")


def failed(error: WorkersError) -> Finding:
    """Return what to do about a Redis that cannot be used."""
    found, _, told = str(error).partition(" Start one,")
    cause = error.__cause__
    remedies = [remedy for kinds, remedy in REMEDIES if isinstance(cause, kinds)]
    if not told or not remedies:
        return problem(LABEL, str(error), "", exit_code(error))
    return problem(LABEL, found.rstrip("."), remedies[0], exit_code(error))


def version_findings(version: Version) -> Iterator[Finding]:
    """Warn of a version without security fixes."""
    if not version.is_supported:
        yield warning(
            LABEL,
            f"{version} has had no security fixes since {version.end_of_life}",
            "Install a newer Redis, or Valkey.",
        )


def memory_findings(memory: Mapping[str, Any]) -> Iterator[Finding]:
    """Report memory without a limit, or close to it."""
    used, limit = int(memory.get("used_memory", 0)), int(memory.get("maxmemory", 0))
    raise_it = "redis-cli CONFIG SET maxmemory 1gb"
    if not limit:
        remedy = f"Set one that its machine has room for, such as: {raise_it}"
        yield warning(LABEL, "its memory has no limit", remedy)
    elif memory_use(memory) > FILLING:
        found = f"{size(used)} of {size(limit)} of its memory are in use"
        remedy = f"Raise the limit, such as: {raise_it}"
        yield (
            problem(LABEL, found, remedy, ExitCode.UNREACHABLE)
            if memory_use(memory) > FULL
            else warning(LABEL, found, remedy)
        )


def _answer_seconds(client: redis.Redis) -> float:
    began = time.perf_counter()
    client.info("server")
    return time.perf_counter() - began


def _unsuitable(client: redis.Redis, url: str) -> Iterator[Finding]:
    try:
        check(client, url)
    except RedisUnsuitable as error:
        yield problem(LABEL, str(error), "", exit_code(error))
