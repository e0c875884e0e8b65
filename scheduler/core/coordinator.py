"""The scheduler's core for one iteration: events in, commands out. Pure: time is an argument.

A shard is missing until an answer to it is counted, as a whole or not at all. `sending` decides
what is sent, and when; here answers and failures are judged. Somebody may take whatever is missing:
what no living worker may take is settled in `settling`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from tapeworks.scheduler.core.decisions import (
    Answer,
    Attempt,
    Command,
    Count,
    Diverged,
    GiveUp,
    Pause,
    Reason,
    Tell,
    Withdraw,
)
from tapeworks.scheduler.core.sending import NOW, Sending, Slot
from tapeworks.scheduler.core.settling import Settling, names
from tapeworks.scheduler.core.sharding import Shard
from tapeworks.scheduler.core.standing import Standing
from tapeworks.scheduler.core.votes import Tally

#: A shard whose attempts come back without a valid answer more often than this ends the run, if
#: every living worker has tried.
MOST_FAILURES = 5

#: Workers that may die in a row with the same shard in hand, before the run is paused. They die of
#: other things too.
MOST_DEATHS = 5

#: Attempts that must agree that a result is not finite before the run counts as diverged.
DIVERGED_ATTEMPTS = 2

#: Seconds before a shard is sent again that a worker left to others or refused; doubles each time.
LEFT_SECONDS = 0.02

#: The longest of these pauses, in seconds.
REFUSED_SECONDS = 1.0

#: Seconds before a shard is sent again that has failed twice; doubles each time, as long as the one
#: above at the most. What passes by itself, such as a full disk, does not end a run in an instant.
FAILED_SECONDS = 0.25

#: Invalid answers of unknown workers that are reported in an iteration: any client that may write
#: to Redis can write thousands.
MOST_UNKNOWN_TOLD = 3


class Coordinator:
    """Has every shard of one iteration answered, each counted once.

    Events return the commands that follow from them, to be carried out in their order.
    """

    def __init__(
        self,
        shards: Iterable[Shard],
        standing: Standing,
        name: Callable[[Shard, int], str],
        audited: Iterable[int] = (),
        *,
        is_audited: bool = False,
    ) -> None:
        """`name` gives an attempt's id from its shard and number.

        The `audited` shards need two workers that find the same bits; of an audited run all do
        until a fingerprint is pinned.
        """
        cut = list(shards)
        self._tally = Tally(
            (shard.index for shard in cut),
            audited,
            must_agree=is_audited and standing.is_open,
            allow_mixed=standing.allow_mixed,
        )
        self._standing = standing
        self._sending = Sending(cut, self._tally, standing, name)
        self._settling = Settling(self._sending, self._tally, standing, is_audited=is_audited)
        self._unknown_told = 0

    @property
    def finished(self) -> bool:
        """True once every shard is counted."""
        return self._tally.is_complete

    @property
    def is_waiting(self) -> bool:
        """True while some shard needs a worker that is not there."""
        return self._settling.is_waiting

    @property
    def sent(self) -> int:
        """Attempts so far."""
        return len(self._sending.attempts)

    @property
    def out(self) -> int:
        """Shards that were sent and not answered when last something could be sent."""
        return self._sending.out

    def attempt(self, attempt_id: str) -> Attempt | None:
        """The attempt of this id, if its shard is still missing."""
        attempt = self._sending.attempts.get(attempt_id)
        return attempt if attempt and self._tally.is_missing(attempt.shard.index) else None

    def holds(self, answer: Answer) -> bool:
        """Return whether the answer is one of its shard's votes."""
        return self._tally.holds(answer.attempt.shard.index, answer)

    def needs_bits(self, attempt: Attempt) -> bool:
        """Return whether an answer to it must tell its bits, for two workers must agree."""
        return self._tally.needs_two(attempt.shard.index)

    # Events

    def saw_workers(
        self,
        living: Mapping[str, str],
        runs: int,
        queue_length: int = 0,
        in_hand: Mapping[str, str] = MappingProxyType({}),
        now: float = 0.0,
    ) -> None:
        """These are alive, each with its fingerprint, for so many runs and waiting messages.

        Some have an attempt `in_hand`, by its id. A mapping is not changed after it was handed over
        here: the same ones as last time say nothing new, which costs nothing.
        """
        self._sending.saw_workers(living, runs, queue_length, in_hand, now)

    def requeue_all(self, reason: Reason) -> None:
        """Make every shard due again, because the messages sent may be gone."""
        self._sending.all_due(reason)

    def woke(self, now: float) -> list[Command]:
        """Time has passed; the attempts to send now count as sent."""
        commands = [
            *self._find_deadly_shards(),
            *self._settling.settle(now),
            *self._sending.woke(now),
        ]
        return self._with_counts(commands)

    def next_wake(self, now: float) -> float:
        """Return when, after now, something is to be sent even if nothing happens until then."""
        return min(self._sending.next_wake(now), self._settling.next_wake(now))

    def record_answer(self, answer: Answer, now: float) -> list[Command]:
        """A valid answer to an attempt whose shard is missing, with its bits if it needs them."""
        attempt, slot = answer.attempt, self._slot(answer.attempt)
        if answer.worker in self._standing.quarantined or not self._settling.may_pin(
            answer.fingerprint
        ):
            return self.record_no_result(attempt, now)
        self._learn(answer, now)
        if not self._may_vote(answer):  # as one that has not registered yet, after Redis restarted
            return self.record_no_result(attempt, now)
        slot.note_answer(attempt, answer.worker, now)
        self._standing.allowed.add(answer.worker)
        shard = slot.shard.index
        self._tally.vote(shard, answer)
        self._settling.pin(shard)
        commands = self._settling.judge(shard)
        if self._sending.is_missing(slot) and self._tally.voters(shard):
            self._sending.due(slot, Reason.AUDIT)
        commands += self._settling.finite_after_all(slot) + self._withdrawn(slot)
        return self._with_counts(commands + self._settling.settle(now))

    def record_failure(
        self, attempt: Attempt, worker: str, problem: str, now: float
    ) -> list[Command]:
        """The worker could not compute it, through no fault that is known to be its own."""
        if not self._is_heard(worker):
            return self.record_no_result(attempt, now)
        slot = self._slot(attempt)
        if not slot.record_failure(attempt, worker):
            return []
        self._note_failure(slot, worker, Reason.FAILED, now)
        return self._with_counts(self._judge_failures(slot, problem))

    def invalid(
        self, attempt: Attempt, worker: str | None, problem: str, now: float
    ) -> list[Command]:
        """An answer that is not what was asked for, from this worker if it says so."""
        if worker in self._standing.quarantined:
            return self.record_no_result(attempt, now)
        slot = self._slot(attempt)
        if not slot.record_failure(attempt, worker or ""):
            return []
        told: list[Command] = [
            Tell(
                kind="answer_invalid",
                message=f"Attempt {attempt.id} is not counted: {problem}.",
                worker=worker,
            )
        ]
        if worker is None or not self._is_heard(worker):
            self._unknown_told += 1
            self.record_no_result(attempt, now)
            return told if self._unknown_told <= MOST_UNKNOWN_TOLD else []
        self._note_failure(slot, worker, Reason.INVALID, now)
        told += self._settling.strike(worker, problem)
        told += self._judge_failures(slot, f"its answers were invalid: {problem}")
        return self._with_counts(told)

    def not_finite(self, attempt: Attempt, worker: str, now: float) -> list[Command]:
        """An answer with NaN or infinity: the run has diverged, if all other workers agree."""
        if not self._is_heard(worker):
            return self.record_no_result(attempt, now)
        slot = self._slot(attempt)
        if not slot.record_failure(attempt, worker):
            return []
        slot.hear(worker)
        slot.not_finite_by.append(worker)
        self._sending.due(slot, Reason.NOT_FINITE)
        self._tally.doubt(slot.shard.index)
        return self._with_counts(self._settling.settle(now) + self._judge_divergence(slot))

    def record_missing_payload(self, attempt: Attempt, now: float) -> list[Command]:
        """The worker lacked images or parameters, which are there now."""
        slot = self._slot(attempt)
        reason = Reason.LEFT if slot.left else Reason.PAYLOAD_GONE
        self._later(slot, reason, now)
        return []

    def record_no_result(self, attempt: Attempt, now: float) -> list[Command]:
        """It came to nothing, and says nothing about the shard.

        A worker that the attempt was not for has left it to others, or somebody answered who is
        not trusted.
        """
        self._later(self._slot(attempt), Reason.LEFT, now)
        return []

    def record_refusal(self, attempt: Attempt, now: float) -> list[Command]:
        """A worker of another fingerprint took it; it is sent again for those of the run's own."""
        self._later(self._slot(attempt), Reason.REFUSED, now)
        return []

    def record_not_allowed(
        self, attempt: Attempt, worker: str, problem: str, now: float
    ) -> list[Command]:
        """The worker may not run the network: it gets no more of this run, and is not to blame."""
        self._later(self._slot(attempt), Reason.NOT_ALLOWED, now)
        if not self._standing.exclude(worker):
            return []
        self._sending.refit()
        told = Tell(kind="network_not_allowed", message=problem, worker=worker)
        return self._with_counts([told, *self._settling.settle(now)])

    # What follows from them

    def _with_counts(self, commands: list[Command]) -> list[Command]:
        """Add what is counted now; what a start over made void is not among it."""
        return [*commands, *(Count(answer=answer) for answer in self._tally.take_counted())]

    def _learn(self, answer: Answer, now: float) -> None:
        pace, waited = self._standing.pace, now - answer.attempt.sent_at
        service = min(answer.seconds, waited)  # a worker's own measure may be anything
        microbatches = answer.attempt.shard.microbatches
        pace.learn(waited, service, microbatches)
        if self._standing.knows(answer.worker):
            pace.measure(answer.worker, service, microbatches)

    def _find_deadly_shards(self) -> list[Command]:
        """A shard that workers die of, one after the other, is a matter for a person."""
        return [
            _deadly(slot)
            for slot in self._sending.struck.values()
            if len(slot.deaths) >= MOST_DEATHS and self._sending.is_missing(slot)
        ]

    def _withdrawn(self, slot: Slot) -> list[Command]:
        """Copies of what is counted may still wait in the queue, unless all of them is over."""
        superseded = self._sending.find_superseded(slot)
        return [Withdraw(attempts=superseded)] if superseded and not self.finished else []

    def _slot(self, attempt: Attempt) -> Slot:
        return self._sending.slots[attempt.shard.index]

    def _is_heard(self, worker: str) -> bool:
        """Return whether its word against a shard counts: it was seen and is not quarantined."""
        return self._standing.knows(worker) and worker not in self._standing.quarantined

    def _may_vote(self, answer: Answer) -> bool:
        """Return whether it may count; where workers are compared, its worker must be known."""
        compared = self._tally.is_audited(answer.attempt.shard.index)
        known = self._standing.knows(answer.worker)
        return self._standing.accepts(answer.fingerprint) and (known or not compared)

    def _later(self, slot: Slot, reason: Reason, now: float) -> None:
        """Send it again soon, and less soon each time that this comes to nothing."""
        self._sending.due(slot, reason, now + min(LEFT_SECONDS * 2**slot.left, REFUSED_SECONDS))
        slot.left = min(slot.left + 1, 10)

    def _note_failure(self, slot: Slot, worker: str, reason: Reason, now: float) -> None:
        """Send it again: at once the first time, then less and less soon."""
        slot.hear(worker)
        slot.failed_by.append(worker)
        more = len(slot.failed_by) - 2
        pause = min(FAILED_SECONDS * 2.0 ** min(more, 10), REFUSED_SECONDS) if more >= 0 else 0.0
        self._sending.due(slot, reason, now + pause if pause else NOW)

    def _judge_failures(self, slot: Slot, problem: str) -> list[Command]:
        """Failures of workers that were quarantined are theirs, not the shard's.

        Before a run ends, every living worker has tried, and one alone does not end it.
        """
        failed_by = [one for one in slot.failed_by if one not in self._standing.quarantined]
        if len(failed_by) <= MOST_FAILURES:
            return []
        waived = self._settling.waive(slot, unable=set(failed_by))
        if not self._sending.is_missing(slot) or self._may_say_more(slot, failed_by):
            return waived
        shard, failures = slot.shard.index, len(failed_by)
        if self._may_end(slot, failed_by):
            return [*waived, GiveUp(shard=shard, failures=failures, problem=problem)]
        found = f"shard {shard} failed {failures} times; at last {problem}"
        return [*waived, self._pause(slot, failed_by[-1], found)]

    def _may_say_more(self, slot: Slot, failed_by: Iterable[str]) -> bool:
        """Check for a worker that has not failed, nor answered while others are silent."""
        others = self._sending.candidates_for(slot) - {*failed_by, *slot.not_finite_by}
        if slot.silent:
            others -= self._tally.voters(slot.shard.index)
        return bool(others)

    def _judge_divergence(self, slot: Slot) -> list[Command]:
        """The run ends once every living worker found no numbers, and more than one attempt did."""
        doubters, voters = slot.not_finite_by, self._tally.voters(slot.shard.index)
        others = self._sending.candidates_for(slot) - set(doubters)
        if others or voters or len(doubters) < DIVERGED_ATTEMPTS:
            return []
        if self._may_end(slot, doubters):
            return [Diverged()]
        found = f"shard {slot.shard.index} gave NaN or infinity twice"
        return [self._pause(slot, doubters[-1], found)]

    def _may_end(self, slot: Slot, witnesses: Iterable[str]) -> bool:
        """Return whether these may end a run: two workers, or one that is known to be our own.

        Not while another is there that does not answer: somebody may keep it from answering.
        """
        enough = len(set(witnesses)) > 1 or self._standing.trusts_one
        return enough and not slot.silent & self._sending.workers

    def _pause(self, slot: Slot, worker: str, found: str) -> Pause:
        silent = slot.silent & self._sending.workers
        if silent:
            reason = (
                f"{worker} says: {found}. {names(silent)}, here too, does not answer: restart "
                "what does not answer and resume the run, or cancel it."
            )
        else:
            reason = (
                f"{worker}, the only worker that is here, says: {found}. One worker alone does not "
                "end a run: start another and resume the run, or cancel it."
            )
        return Pause(reason=reason)


def _deadly(slot: Slot) -> Pause:
    workers = list(slot.deaths.values())
    return Pause(
        reason=f"shard {slot.shard.index} was in hand when {len(workers)} workers in a row died or "
        f"vanished, at last {workers[-1]}: it may need more memory than they have. "
        "Give them more and resume the run, or submit it again with smaller microbatches."
    )
