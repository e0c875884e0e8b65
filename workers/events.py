"""The events of a worker, and outages of Redis, for all who look on: the log, and tests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tapeworks.wire.errors import RedisUnreachable
from tapeworks.wire.messages import Status

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """The process is up; it has no fingerprint."""

    worker: str


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """The worker has a fingerprint and takes messages."""

    worker: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class AttemptDropped:
    """A message was stale: its run has moved on."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class AttemptTaken:
    """No other worker sees the message; nothing is computed."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class AttemptComputed:
    """The gradients are in this process's memory only."""

    attempt_id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class AttemptAnswered:
    """The answer and its announcement are in Redis."""

    attempt_id: str
    status: Status


Event = (
    WorkerStarted | WorkerReady | AttemptDropped | AttemptTaken | AttemptComputed | AttemptAnswered
)

Listener = Callable[[Event], None]


def log(event: Event) -> None:
    """Log the event's line; the attempt in hand stands in it anyway."""
    match event:
        case WorkerReady(worker=name, fingerprint=golden):
            extra = {"event": "worker_ready", "worker": name}
            logger.info("Worker %s is ready, fingerprint %s", name, golden, extra=extra)
        case _ if logger.isEnabledFor(logging.DEBUG):
            _log_detail(event)


def _log_detail(event: Event) -> None:
    match event:
        case WorkerStarted(worker=name):
            extra = {"event": "worker_starts", "worker": name}
            logger.debug("Worker %s starts", name, extra=extra)
        case AttemptDropped(attempt_id=attempt):
            extra = {"event": "message_stale"}
            logger.debug("Attempt %s is dropped: the run has moved on", attempt, extra=extra)
        case AttemptTaken(attempt_id=attempt):
            logger.debug("Attempt %s is taken", attempt, extra={"event": "attempt_taken"})
        case AttemptComputed(attempt_id=attempt, seconds=seconds):
            extra = {"event": "attempt_computed"}
            logger.debug("Attempt %s is computed in %.6f s", attempt, seconds, extra=extra)
        case AttemptAnswered(attempt_id=attempt, status=status):
            extra = {"event": f"answered_{status}"}
            logger.debug("Attempt %s is answered: %s", attempt, status, extra=extra)


class Outages:
    """Logs the beginning and the end of each outage of Redis, at one level: both or neither."""

    def __init__(self, level: int = logging.WARNING) -> None:
        self._level = level
        self._is_away = False

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Ask Redis for something; that it does not answer is logged, and no error."""
        try:
            yield
        except RedisUnreachable as error:
            self.begin(error)
        else:
            self._end()

    def begin(self, error: RedisUnreachable) -> None:
        """Log the reason, unless this outage is known."""
        if not self._is_away:
            sentence, extra = "%s Waiting for it.", {"event": "redis_unreachable"}
            logger.log(self._level, sentence, error, extra=extra)
        self._is_away = True

    def _end(self) -> None:
        if self._is_away:
            logger.log(self._level, "Redis is back; going on.", extra={"event": "going_on"})
        self._is_away = False
