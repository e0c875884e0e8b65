"""Measurements of a scheduler's runs, passed to a meter; the default one ignores them."""

from __future__ import annotations

from enum import StrEnum

from tapeworks.scheduler.core.decisions import Reason
from tapeworks.scheduler.dispatch.contract import Work
from tapeworks.storage.records import IterationRecord

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
    """The outcome of an answer."""

    COUNTED = "counted"
    LATE = "late"  #: nobody waits for it any more; dropped unread
    GONE = "gone"  #: announced, but not there
    FORGED = "forged"  #: not signed as it should be
    INVALID = "invalid"
    NOT_FINITE = "not_finite"
    FAILED = "failed"
    MISSING = "missing"  #: the worker did not find images or parameters
    LEFT = "left"  #: the message was not for that worker
    REFUSED = "refused"  #: of another fingerprint
    QUARANTINED = "quarantined"  #: valid, but its worker is quarantined


class Meter:
    """Looks on at one driver, which drives one run at a time, from its thread. Counts nothing."""

    def taken(self, lease_seconds: float) -> None:
        """A run is claimed."""

    def renewed(self) -> None:
        """Its lease begins anew."""

    def lost(self) -> None:
        """Its lease is another's."""

    def left(self) -> None:
        """The run is in hand no more."""

    def sent(self, work: Work, reason: Reason) -> None:
        """An attempt is on the queue."""

    def judged(self, verdict: Verdict) -> None:
        """An answer was looked at."""

    def out(self, shards: int) -> None:
        """So many shards wait for an answer."""

    def committed(self, record: IterationRecord) -> None:
        """An iteration is in the history."""

    def noticed(self, kind: str) -> None:
        """Something happened that people are told."""


UNMETERED = Meter()
