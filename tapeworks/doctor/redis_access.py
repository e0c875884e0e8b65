"""Access to Redis: passwords, encryption, and this user's rights."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import redis

from tapeworks.doctor.findings import Finding, ok, problem, warning
from tapeworks.errors import ExitCode
from tapeworks.redis_rights import missing_rights, user_of
from tapeworks.workers.redis_client import connect

LABEL = "access"


def check_access(client: redis.Redis, url: str) -> Iterator[Finding]:
    """Check that strangers are kept out and cannot listen in, and this user's rights."""
    if not _is_local(url):
        yield from _exposure(url)
    yield from _rights(client, url)


def _rights(client: redis.Redis, url: str) -> Iterator[Finding]:
    user, missing = user_of(url), missing_rights(client, url)
    enough = [role for role, refused in missing.items() if not refused]
    if enough:
        yield ok(LABEL, f"user {user} may do what a {' and a '.join(enough)} has to do")
        return
    lacking = (f"for a {role} {', '.join(refused)}" for role, refused in missing.items())
    yield problem(
        LABEL,
        f"user {user} has too few rights; it lacks {'; '.join(lacking)}",
        "Make its rights again with: tapeworks secrets DIRECTORY, and restart Redis with them.",
        ExitCode.UNREACHABLE,
    )


def _exposure(url: str) -> Iterator[Finding]:
    """Check what a Redis that is not on this machine has to have."""
    if _lets_in_anybody(url):
        yield problem(
            LABEL,
            "whoever reaches Redis may use it, without a password",
            "Give it users with: tapeworks secrets DIRECTORY, and its server the aclfile that this "
            "makes; at the very least a requirepass.",
        )
    if not url.startswith("rediss:"):
        yield warning(
            LABEL,
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
    """Check that it answers somebody without a name and a password."""
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
