"""Celery's Redis transport, mended where it would stop a worker, or ask for more than it needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu.transport import redis
from redis.exceptions import NoPermissionError

#: Seconds between two looks for messages that a worker died with.
RESTORE_SECONDS = 5


class ReleasingQoS(redis.QoS):  # type: ignore[misc]
    """Lays a message down even if Redis cannot be told so.

    kombu would keep it in hand for ever: with one message at a time, the worker would take no
    other, and so never notice that its connection is gone.
    """

    def ack(self, delivery_tag: str) -> None:
        """Take the message off Redis' list of unacknowledged ones, and off this worker's hands."""
        try:
            super().ack(delivery_tag)
        except Exception:
            self._quick_ack(delivery_tag)
            raise


@contextmanager
def restoring(client: Any, name: str, _expire: float) -> Iterator[None]:
    """Lets one worker at a time look for what others died with; the next one, after a while.

    kombu's own lock is released by a script, and whoever may run scripts can hold up all of Redis.
    Who may not touch the workers' messages, as Flower, leaves them to those who may.
    """
    try:
        is_ours = client.set(name, 1, nx=True, ex=RESTORE_SECONDS)
    except NoPermissionError:
        is_ours = False
    if not is_ours:
        raise redis.MutexHeld
    yield


def mend() -> None:
    """Let every connection of this process use it."""
    redis.Channel.QoS = ReleasingQoS
    redis.Mutex = restoring
