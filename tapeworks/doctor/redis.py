"""Redis: answers, speed, fitness for a queue, memory, access and rights."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import redis

from tapeworks.cli.outputs.describe import size
from tapeworks.cluster.redis_rights import missing_rights, user_of
from tapeworks.doctor.findings import Finding, Level, ok, problem, warning
from tapeworks.errors import ExitCode, exit_code
from tapeworks.wire.addresses import without_password
from tapeworks.wire.errors import RedisUnsuitable, WorkersError
from tapeworks.wire.redis_client import FILLING, FULL, check, connect, memory_use, translate_errors
from tapeworks.wire.redis_programs import Version

REDIS = "redis"

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

ACCESS = "access"


def check_redis(client: redis.Redis, url: str) -> Iterator[Finding]:
    """Its answer, version, policy and memory. Raises `RedisUnreachable`; see `diagnose`."""
    with translate_errors(url):
        seconds = min(_answer_seconds(client) for _ in range(TRIES))
        version, memory = Version.of_info(client.info("server")), client.info("memory")
    wrong = [*_unsuitable(client, url), *version_findings(version), *memory_findings(memory)]
    if seconds > SLOW_SECONDS:
        remedy = "Run it nearer, or on a machine with less to do; every iteration waits for it."
        wrong.append(warning(REDIS, f"it takes {seconds * 1000:.0f} ms to answer", remedy))
    yield from wrong
    if all(finding.level is not Level.PROBLEM for finding in wrong):
        address = without_password(url)
        yield ok(REDIS, f"{address}, {version}, answers in {seconds * 1000:.1f} ms")


def diagnose(error: WorkersError) -> Finding:
    """Return what to do about a Redis that cannot be used."""
    found, _, told = str(error).partition(" Start one,")
    cause = error.__cause__
    remedies = [remedy for kinds, remedy in REMEDIES if isinstance(cause, kinds)]
    if not told or not remedies:
        return problem(REDIS, str(error), "", exit_code(error))
    return problem(REDIS, found.rstrip("."), remedies[0], exit_code(error))


def version_findings(version: Version) -> Iterator[Finding]:
    """Warn of a version without security fixes."""
    if not version.is_supported:
        yield warning(
            REDIS,
            f"{version} has had no security fixes since {version.end_of_life}",
            "Install a newer Redis, or Valkey.",
        )


def memory_findings(memory: Mapping[str, Any]) -> Iterator[Finding]:
    """Report memory without a limit, or close to it."""
    used, limit = int(memory.get("used_memory", 0)), int(memory.get("maxmemory", 0))
    raise_it = "redis-cli CONFIG SET maxmemory 1gb"
    if not limit:
        remedy = f"Set one that its machine has room for, such as: {raise_it}"
        yield warning(REDIS, "its memory has no limit", remedy)
    elif memory_use(memory) > FILLING:
        found = f"{size(used)} of {size(limit)} of its memory are in use"
        remedy = f"Raise the limit, such as: {raise_it}"
        yield (
            problem(REDIS, found, remedy, ExitCode.UNREACHABLE)
            if memory_use(memory) > FULL
            else warning(REDIS, found, remedy)
        )


def _answer_seconds(client: redis.Redis) -> float:
    began = time.perf_counter()
    client.info("server")
    return time.perf_counter() - began


def _unsuitable(client: redis.Redis, url: str) -> Iterator[Finding]:
    try:
        check(client, url)
    except RedisUnsuitable as error:
        yield problem(REDIS, str(error), "", exit_code(error))


def check_access(client: redis.Redis, url: str) -> Iterator[Finding]:
    """Check that strangers are kept out and cannot listen in, and this user's rights."""
    if not _is_local(url):
        yield from _exposure(url)
    yield from _rights(client, url)


def _rights(client: redis.Redis, url: str) -> Iterator[Finding]:
    user, missing = user_of(url), missing_rights(client, url)
    enough = [role for role, refused in missing.items() if not refused]
    if enough:
        yield ok(ACCESS, f"user {user} may do what a {' and a '.join(enough)} has to do")
        return
    lacking = (f"for a {role} {', '.join(refused)}" for role, refused in missing.items())
    yield problem(
        ACCESS,
        f"user {user} has too few rights; it lacks {'; '.join(lacking)}",
        "Make its rights again with: tapeworks secrets DIRECTORY, and restart Redis with them.",
        ExitCode.UNREACHABLE,
    )


def _exposure(url: str) -> Iterator[Finding]:
    """Check what a Redis that is not on this machine has to have."""
    if _lets_in_anybody(url):
        yield problem(
            ACCESS,
            "any client that reaches Redis may use it, without a password",
            "Give it users with: tapeworks secrets DIRECTORY, and its server the aclfile that this "
            "makes; at the very least a requirepass.",
        )
    if not url.startswith("rediss:"):
        yield warning(
            ACCESS,
            "what passes between here and Redis is not encrypted",
            "Use a rediss:// URL with ssl_ca_certs, or a private network.",
        )


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname
    if url.startswith("unix:") or host in {None, "localhost"}:
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(str(host)).is_loopback
    return False


def _lets_in_anybody(url: str) -> bool:
    """Return whether it answers a client without a name and a password."""
    stranger = connect(url)
    arguments = stranger.connection_pool.connection_kwargs
    for name in ("username", "password"):
        arguments.pop(name, None)
    try:
        stranger.info("server")
    except redis.RedisError:
        return False
    finally:
        stranger.close()
    return True
