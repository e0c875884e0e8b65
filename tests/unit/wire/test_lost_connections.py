"""A connection that Redis has closed: it may want TLS, unless it has answered before."""

from __future__ import annotations

import pytest
import redis

from tapeworks.wire.errors import RedisUnreachable
from tapeworks.wire.redis_client import translate_errors


def lose(url: str) -> str:
    """Return the sentence about a connection that was closed."""
    with pytest.raises(RedisUnreachable) as told, translate_errors(url):
        raise redis.ConnectionError("Connection closed by server.")
    return str(told.value)


def test_tls_is_no_reason_of_a_redis_that_has_answered() -> None:
    url, other = "redis://one.example:6379/0", "redis://other.example:6379/0"
    sentence = "Redis at redis://one.example:6379/0 cannot be used: it has closed the connection"
    assert lose(url) == f"{sentence}; if it expects TLS there, use a rediss:// URL."
    with translate_errors(url):
        pass
    assert lose(url) == f"{sentence}."
    assert "TLS" in lose(other)
