"""The one stream of events of a scheduler: what happens to its runs, for all who look on.

An event is told in the thread of the driver that it happens to, to one listener after the other.
What a listener raises ends the driving, as any other error does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tapeworks.scheduler.core.decisions import Reason
from tapeworks.storage.records import Claim, EvaluationRecord, IterationRecord, RunRecord
from tapeworks.wire.messages import AttemptKey, SchedulerState

#: Every kind of notice that a scheduler gives.
NOTICES = (
    "answer_forged",
    "answer_invalid",
    "audit_mismatch",
    "audit_waits",
    "audit_waived",
    "database_back",
    "database_unreachable",
    "going_on",
    "iteration_started_over",
    "lease_lost",
    "network_not_allowed",
    "no_workers",
    "redis_emptied",
    "redis_full",
    "redis_restarted",
    "redis_unreachable",
    "run_left",
    "sent_again",
    "signing_key_differs",
    "waiting",
    "worker_gone",
    "worker_refused",
    "worker_quarantined",
    "worker_version_differs",
)


class Verdict(StrEnum):
    """A judgement over an answer; what is valid is counted once enough workers agree on it."""

    VALID = "valid"
    LATE = "late"  #: nobody waits for it any more; dropped unread
    GONE = "gone"  #: announced, but not there
    FORGED = "forged"  #: not signed as it should be
    INVALID = "invalid"
    NOT_FINITE = "not_finite"
    FAILED = "failed"
    MISSING = "missing"  #: the worker did not find images or parameters
    LEFT = "left"  #: the message was not for that worker
    REFUSED = "refused"  #: of another fingerprint
    NOT_ALLOWED = "not_allowed"  #: the worker may not run the user's network
    QUARANTINED = "quarantined"  #: valid, but its worker is quarantined


@dataclass(frozen=True, slots=True)
class Alive:
    """A loop of the driver has turned; one that is wedged tells nothing."""

    state: SchedulerState
    run_id: str | None = None  #: the run in hand


@dataclass(frozen=True, slots=True)
class DriverEnded:
    """The driver has ended in order and takes no more runs."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence that people should read."""

    kind: str
    message: str
    worker: str | None = None  #: whom it is about


@dataclass(frozen=True, slots=True)
class RunClaimed:
    """The run is this driver's in SQL; nothing of it is read yet."""

    claim: Claim
    lease_seconds: float


@dataclass(frozen=True, slots=True)
class LeaseRenewed:
    """The run is this driver's for a whole lease more."""


@dataclass(frozen=True, slots=True)
class RunLeft:
    """The run is in hand no more, however that came; Redis may still hold its keys."""

    run_id: str


@dataclass(frozen=True, slots=True)
class RunReleased:
    """The driving ended without an error; the run as SQL has it then."""

    run: RunRecord


@dataclass(frozen=True, slots=True)
class RunAnnounced:
    """Workers that start from now on compile the run's network."""

    run_id: str


@dataclass(frozen=True, slots=True)
class ImagesPublished:
    """Redis holds the images of the run's data that it did not hold."""

    run_id: str


@dataclass(frozen=True, slots=True)
class IterationAnnounced:
    """Redis holds the iteration's parameters and first messages; those before it are stale."""

    run_id: str
    iteration: int


@dataclass(frozen=True, slots=True)
class AttemptSent:
    """An attempt is on the queue."""

    key: AttemptKey
    reason: Reason


@dataclass(frozen=True, slots=True)
class ShardsOutstanding:
    """All that is due is sent, and so many shards wait for an answer; 0 once all are counted."""

    shards: int


@dataclass(frozen=True, slots=True)
class AnswerJudged:
    """An answer is out of Redis and judged; nothing that follows from it is done."""

    attempt_id: str
    verdict: Verdict
    worker: str | None


@dataclass(frozen=True, slots=True)
class IterationComputed:
    """The parameters after an iteration are known; nothing of it is in SQL."""

    run_id: str
    iteration: int


@dataclass(frozen=True, slots=True)
class IterationCommitted:
    """An iteration is in the history, and all before it."""

    record: IterationRecord


@dataclass(frozen=True, slots=True)
class EvaluationStored:
    """An evaluation is in the history."""

    run_id: str
    record: EvaluationRecord


Event = (
    Alive
    | DriverEnded
    | Notice
    | RunClaimed
    | LeaseRenewed
    | RunLeft
    | RunReleased
    | RunAnnounced
    | ImagesPublished
    | IterationAnnounced
    | AttemptSent
    | ShardsOutstanding
    | AnswerJudged
    | IterationComputed
    | IterationCommitted
    | EvaluationStored
)

Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""


def broadcast(*listeners: Listener) -> Listener:
    """Return a listener that tells every event to each of these, in their order."""

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell
