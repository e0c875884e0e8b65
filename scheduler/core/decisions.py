"""Messages between the coordinator and its driver: answers in, commands out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tapeworks.scheduler.core.sharding import Shard


class Reason(StrEnum):
    """The reason for sending a shard, in the words that people read; programs read the name."""

    FIRST = ""
    NO_ANSWER = "no answer in time"
    IDLE_WORKER = "an idle worker repeats it"
    WORKER_GONE = "a worker is gone"
    REDIS_FAILED = "Redis failed"
    FAILED = "it failed"
    INVALID = "its answer was invalid"
    NOT_FINITE = "its answer was not finite"
    PAYLOAD_GONE = "images, parameters or the network's source were gone"
    REFUSED = "a worker refused it"
    NOT_ALLOWED = "a worker may not run its network"
    AUDIT = "a second worker has to agree"
    STARTED_OVER = "the iteration was started over"
    ASKED_AGAIN = "its workers did not agree and are asked again"
    LEFT = "it was left to another worker"

    @property
    def is_told(self) -> bool:
        """True for reasons that people need to know, and are not told in other words."""
        return self not in {
            Reason.FIRST,
            Reason.AUDIT,
            Reason.LEFT,
            Reason.NOT_ALLOWED,
            Reason.STARTED_OVER,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One sending of one shard."""

    id: str
    shard: Shard
    number: int  #: counted from 1
    sent_at: float  #: seconds, on the caller's clock
    not_for: frozenset[str] = frozenset()  #: workers that must leave it to others


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Answer:
    """A valid answer. It is itself alone: a doubled message gives two, maybe with other bits."""

    attempt: Attempt
    worker: str
    seconds: float  #: the worker's time for all of it
    fingerprint: str = ""  #: the worker's
    bits: str = ""  #: a digest of all that it found; empty where nobody is compared with it


@dataclass(frozen=True, kw_only=True, slots=True)
class Send:
    """Put this attempt on the queue."""

    attempt: Attempt
    reason: Reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """Add up what this answer found: its shard is counted, and no other answer to it will be."""

    answer: Answer


@dataclass(frozen=True, kw_only=True, slots=True)
class StartOver:
    """Drop all that was added up in this iteration: it is void, and every shard is asked again."""


#: The kind of the event that goes before `Quarantine`: it tells the run's next owner of the worker.
WORKER_QUARANTINED = "worker_quarantined"


@dataclass(frozen=True, kw_only=True, slots=True)
class Quarantine:
    """Let no message of this run reach this worker any more."""

    worker: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tell:
    """Write an event into the run's history."""

    kind: str
    message: str
    worker: str | None = None  #: whom it is about


@dataclass(frozen=True, kw_only=True, slots=True)
class GiveUp:
    """End the run as failed: this shard came back too often without a valid answer."""

    shard: int
    failures: int
    problem: str  #: the last one


@dataclass(frozen=True, kw_only=True, slots=True)
class Diverged:
    """End the run as failed: its loss or gradient is no number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """Leave the run as paused: one worker alone says what would end it."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Withdraw:
    """Let no worker compute these attempts any more: what they ask for is counted."""

    attempts: tuple[str, ...]


Command = Send | Count | StartOver | Quarantine | Tell | GiveUp | Diverged | Pause | Withdraw
