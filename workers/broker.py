"""Celery's Redis transport, mended where it would stop a worker, trust, or ask for too much."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery.signals import task_rejected
from kombu.transport import redis
from redis.exceptions import NoPermissionError

from workers.entries import rewritten
from workers.keys import PREFIX, QUEUE_KEY

logger = logging.getLogger(__name__)

#: Seconds between two looks for messages that a worker died with.
RESTORE_SECONDS = 5

#: Stands in a key between a queue and a priority, for lists that no scheduler of ours fills.
PRIORITY_MARK = redis.Channel.sep.encode()


class ServerClock:
    """Redis' time. kombu notes when a message was taken, and compares, by each machine's own."""

    def __init__(self) -> None:
        self._ahead: float | None = None  #: of this process's monotonic clock, in seconds

    def __call__(self) -> float:
        """Seconds since 1970 by Redis' clock; by this machine's before it was asked."""
        return time.time() if self._ahead is None else time.monotonic() + self._ahead

    @property
    def is_known(self) -> bool:
        """True once Redis was asked for its time."""
        return self._ahead is not None

    def learn(self, client: Any) -> None:
        """Ask Redis."""
        seconds, microseconds = client.time()
        self._ahead = seconds + microseconds / 1e6 - time.monotonic()


CLOCK = ServerClock()


class ReleasingQoS(redis.QoS):  # type: ignore[misc]
    """Lays a message down even if Redis cannot be told so.

    kombu would keep it in hand for ever: with one message at a time, the worker would take no
    other, and so never notice that its connection is gone.
    """

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note that a message was taken, and when, by Redis' clock."""
        if not CLOCK.is_known:
            self._learn_time()
        super().append(message, delivery_tag)

    def restore_visible(self, *arguments: Any, **named: Any) -> None:
        """Give back what others died with: what was taken long ago by Redis' clock."""
        self._learn_time()
        super().restore_visible(*arguments, **named)

    def _learn_time(self) -> None:
        with self.channel.conn_or_acquire() as client:
            CLOCK.learn(client)

    def ack(self, delivery_tag: str) -> None:
        """Take the message off Redis' list of unacknowledged ones, and off this worker's hands."""
        try:
            super().ack(delivery_tag)
        except Exception:
            self._quick_ack(delivery_tag)
            raise


class CheckingChannel(redis.Channel):  # type: ignore[misc]
    """Hands on what is an entry of ours. Anything else would end the worker, or command it."""

    QoS = ReleasingQoS

    def _create_client(self, asynchronous: bool = False) -> Any:
        client = super()._create_client(asynchronous)
        client.set_response_callback("BRPOP", _checked)
        return client


def _checked(popped: list[bytes] | None, **_: Any) -> tuple[bytes, bytes] | None:
    """Queue and entry; None, as if the queue were empty, for an entry that is dropped."""
    if not popped:
        return None
    key, entry = popped
    if not key.startswith(QUEUE_KEY.encode()):  # of another Celery program in this process
        return key, entry
    queue = key.removeprefix(PREFIX.encode()).partition(PRIORITY_MARK)[0]
    checked = rewritten(entry, queue.decode())
    if checked is None:
        _tell_of_dropped()
        task_rejected.send(sender=None, message=None, exc=None)
        return None
    return key, checked


@functools.cache
def _tell_of_dropped() -> None:
    """Once: a warning for each would let a forger fill the disk."""
    logger.warning(
        "An entry of the queue is dropped: it is no message of a scheduler of this version. "
        "Others like it will be dropped without a word."
    )


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
    redis.Transport.Channel = CheckingChannel
    redis.Mutex = restoring
    redis.time = CLOCK
