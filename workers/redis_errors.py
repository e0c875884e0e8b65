"""The errors of redis-py, each in one sentence with what to do about it."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import redis
from redis.exceptions import (
    AuthenticationError,
    InvalidResponse,
    NoPermissionError,
    OutOfMemoryError,
)

from tapeworks.workers import tls
from tapeworks.workers.addresses import REDIS, without_password
from tapeworks.workers.errors import RedisMisconfigured, RedisRefused, RedisUnreachable


def unreachable(url: str, error: BaseException) -> RedisUnreachable:
    """The sentence; `RedisMisconfigured` when it will not change until somebody does something."""
    place = without_password(url)
    if isinstance(error, OutOfMemoryError):
        return RedisUnreachable(
            f"Redis at {place} is full: raise its maxmemory, or lift the limit "
            "with: redis-cli CONFIG SET maxmemory 0"
        )
    if isinstance(error, AuthenticationError) or _lacks_authentication(error):
        return RedisRefused(
            f"Redis at {place} refuses this user and password: {_refusal(error)}. Name both in "
            f"{REDIS.url_variable}, or the file with the password in {REDIS.file_variable}."
        )
    if isinstance(error, NoPermissionError):
        return RedisMisconfigured(
            f"The Redis user {_user(url)} may not do what it has to at {place}: {_words(error)}. "
            "Make its rules anew with: tapeworks secrets DIRECTORY, and restart Redis with them."
        )
    encrypted = url.startswith("rediss:")
    if reason := tls.reason(error, encrypted=encrypted):
        may_pass = not encrypted or "timed out" in str(error)
        kind = RedisUnreachable if may_pass else RedisMisconfigured
        return kind(f"Redis at {place} cannot be used: {reason}.")
    kind = RedisMisconfigured if isinstance(error, InvalidResponse) else RedisUnreachable
    return kind(
        f"Redis at {place} cannot be used: {_words(error)}. "
        f"Start one, or name another with {REDIS.url_variable}."
    )


def _lacks_authentication(error: BaseException) -> bool:
    return isinstance(error, redis.ResponseError) and "NOAUTH" in str(error)


def _refusal(error: BaseException) -> str:
    """Redis' words; those about its own protocol come where no password was sent."""
    words = _words(error)
    is_protocol = words.startswith(("HELLO", "NOAUTH", "Authentication required"))
    return "it asks for a password, and none is named" if is_protocol else words


def _user(url: str) -> str:
    return unquote(urlsplit(url).username or "") or "default"


def _words(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
