"""The scheduler's core for one iteration: events in, commands out. Pure: time is an argument.

A microbatch is missing until an answer to it was counted. What is sent, and when, is decided in
`scheduler.sending`; here answers and failures are judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from scheduler.commands import (
    Answer,
    Attempt,
    Command,
    Diverged,
    GiveUp,
    Reason,
    SetAside,
    Tell,
)
from scheduler.sending import Sending, Slot
from scheduler.sharding import Shard
from scheduler.standing import MOST_STRIKES, Standing
from scheduler.tally import Tally

#: A shard whose attempts come back without a valid answer more often than this ends the run.
MOST_FAILURES = 5

#: Attempts that must agree that a result is not finite before the run counts as diverged.
DIVERGED_ATTEMPTS = 2

#: Seconds before a shard that a worker of another fingerprint refused is sent again.
REFUSED_SECONDS = 1.0

#: Seconds before a shard is sent again that a worker left to others; doubles each time, up to
#: those above.
LEFT_SECONDS = 0.02


class Coordinator:
    """Has every microbatch of one iteration answered, each counted once."""

    def __init__(
        self,
        shards: Iterable[Shard],
        standing: Standing,
        name: Callable[[Shard, int], str],
        audited: Iterable[int] = (),
    ) -> None:
        """`name` gives an attempt's id from its shard and number.

        The `audited` microbatches need two workers that find the same bits.
        """
        cut = list(shards)
        places = {
            microbatch.index: shard.index for shard in cut for microbatch in shard.microbatches
        }
        self._tally = Tally(places, audited)
        self._sending = Sending(cut, self._tally, standing, name)
        self._slot_of = {index: self._sending.slots[shard] for index, shard in places.items()}
        self._standing = standing

    @property
    def finished(self) -> bool:
        """Whether every microbatch is held."""
        return self._tally.is_complete

    @property
    def sent(self) -> int:
        """Attempts so far."""
        return len(self._sending.attempts)

    @property
    def out(self) -> int:
        """Shards that were sent and not answered when last something could be sent."""
        return self._sending.out

    def counted(self) -> dict[int, Answer]:
        """The one answer that is counted for each microbatch, once it is finished."""
        return {microbatch: self._tally.holder(microbatch) for microbatch in self._slot_of}

    def attempt(self, attempt_id: str) -> Attempt | None:
        """The attempt of this id, if anything of it is still missing."""
        attempt = self._sending.attempts.get(attempt_id)
        return attempt if attempt and self._sending.missing(attempt.shard) else None

    # Events

    def saw_workers(self, workers: Iterable[str], runs: int) -> None:
        """These workers are alive and may serve this run, one of so many in progress."""
        self._sending.saw_workers(workers, runs)

    def lost_queue(self, reason: Reason) -> None:
        """What was sent may be gone."""
        self._sending.all_due(reason)

    def woke(self, now: float) -> list[Command]:
        """Time has passed; the attempts to send now count as sent."""
        return [*self._sending.woke(now)]

    def next_wake(self, now: float) -> float:
        """When, after now, something is to be sent even if nothing happens until then."""
        return self._sending.next_wake(now)

    def answered(self, answer: Answer, now: float) -> list[Command]:
        """A valid answer, maybe to an attempt of an earlier owner of the run."""
        attempt = answer.attempt
        if answer.worker in self._standing.aside:
            return self.left(attempt, now)
        if attempt.id in self._sending.attempts:
            self._standing.pace.learn(now - attempt.sent_at, answer.seconds, len(answer.bits))
        for microbatch in answer.bits:
            self._tally.vote(microbatch, answer)
        touched = {slot.shard.index: slot for slot in map(self._slot_of.__getitem__, answer.bits)}
        commands = [c for slot in touched.values() for c in self._finite_after_all(slot)]
        commands += self._audited(answer.bits)
        for slot in touched.values():
            slot.left = 0
            if any(self._tally.voters(m) for m in self._sending.missing(slot.shard)):
                slot.due(Reason.AUDIT)
        return commands

    def failed(self, attempt: Attempt, worker: str, problem: str, now: float) -> list[Command]:
        """The worker could not compute it, through no fault that is known to be its own."""
        if worker in self._standing.aside:
            return self.left(attempt, now)
        slot = self._slot(attempt)
        if slot.has_heard(attempt, worker):
            return []
        slot.failed_by.append(worker)
        slot.due(Reason.FAILED)
        return self._given_up(slot, problem)

    def invalid(
        self, attempt: Attempt, worker: str | None, problem: str, now: float
    ) -> list[Command]:
        """An answer that is not what was asked for, from this worker if it says so."""
        if worker in self._standing.aside:
            return self.left(attempt, now)
        slot = self._slot(attempt)
        if slot.has_heard(attempt, worker or ""):
            return []
        told: list[Command] = [
            Tell(
                kind="answer_invalid",
                message=f"Attempt {attempt.id} is not counted: {problem}.",
                worker=worker,
            )
        ]
        slot.failed_by.append(worker or "")
        slot.due(Reason.INVALID)
        told += self._strike(worker, problem) if worker else []
        return told + self._given_up(slot, f"its answers were invalid: {problem}")

    def not_finite(self, attempt: Attempt, worker: str, now: float) -> list[Command]:
        """An answer with NaN or infinity: the run has diverged, if another worker agrees."""
        if worker in self._standing.aside:
            return self.left(attempt, now)
        slot = self._slot(attempt)
        if slot.has_heard(attempt, worker):
            return []
        slot.not_finite_by.append(worker)
        slot.due(Reason.NOT_FINITE)
        agreed = len(slot.not_finite_by) >= DIVERGED_ATTEMPTS
        alone = not self._sending.workers - {worker}
        if agreed and (alone or len(set(slot.not_finite_by)) > 1):
            return [Diverged()]
        return self._finite_after_all(slot)

    def missed(self, attempt: Attempt, now: float) -> list[Command]:
        """The worker lacked images or parameters, which are there now."""
        slot = self._slot(attempt)
        reason = Reason.LEFT if slot.left else Reason.PAYLOAD_GONE
        self._later(slot, reason, now)
        return []

    def left(self, attempt: Attempt, now: float) -> list[Command]:
        """A worker that the attempt was not for has left it to others."""
        if attempt.id not in self._sending.attempts:
            return []
        slot = self._slot(attempt)
        self._later(slot, Reason.LEFT, now)
        return self._waive_alone(self._sending.missing(slot.shard))

    def refused(self, attempt: Attempt, now: float) -> list[Command]:
        """A worker of another fingerprint took it; soon another may."""
        self._slot(attempt).due(Reason.REFUSED, now + REFUSED_SECONDS)
        return []

    # What follows from them

    def _slot(self, attempt: Attempt) -> Slot:
        return self._sending.slots[attempt.shard.index]

    def _later(self, slot: Slot, reason: Reason, now: float) -> None:
        """Send it again soon, and less soon each time that this comes to nothing."""
        slot.due(reason, now + min(LEFT_SECONDS * 2**slot.left, REFUSED_SECONDS))
        slot.left = min(slot.left + 1, 10)

    def _given_up(self, slot: Slot, problem: str) -> list[Command]:
        """Failures of workers that were set aside are theirs, not the shard's."""
        failures = sum(worker not in self._standing.aside for worker in slot.failed_by)
        if failures <= MOST_FAILURES:
            return []
        waived = self._waive_alone(self._sending.missing(slot.shard), set(slot.failed_by))
        if not self._sending.missing(slot.shard):
            return waived
        return [*waived, GiveUp(shard=slot.shard.index, failures=failures, problem=problem)]

    def _strike(self, worker: str, problem: str) -> list[Command]:
        if not self._standing.strike(worker):
            return []
        return self._set_aside(
            worker, f"{MOST_STRIKES} of its answers were invalid, the last one: {problem}"
        )

    def _set_aside(self, worker: str, reason: str) -> list[Command]:
        """Nothing that it answered in this iteration counts any more."""
        self._standing.aside.add(worker)
        self._sending.workers -= {worker}
        for index in self._tally.discard(worker):
            self._slot_of[index].due(Reason.SET_ASIDE)
        return [SetAside(worker=worker, reason=reason)]

    def _finite_after_all(self, slot: Slot) -> list[Command]:
        """Once all of its microbatches were found finite, whoever said otherwise was wrong."""
        if not all(self._tally.voters(microbatch.index) for microbatch in slot.shard.microbatches):
            return []
        wrong, slot.not_finite_by = slot.not_finite_by, []
        strikes = (self._strike(one, "not finite, unlike another's") for one in wrong)
        return [command for commands in strikes for command in commands]

    def _audited(self, microbatches: Iterable[int]) -> list[Command]:
        commands: list[Command] = []
        for index in microbatches:
            for wrong, right in self._tally.proved_wrong(index):
                if wrong not in self._standing.aside:
                    commands += self._set_aside(wrong, _mismatch(index, wrong, right))
            if self._tally.is_disputed(index):
                commands.append(_dispute(index, self._tally.voters(index)))
        return commands + self._waive_alone(microbatches)

    def _waive_alone(
        self, microbatches: Iterable[int], unable: Iterable[str] = ()
    ) -> list[Command]:
        """Count audited microbatches as they are when no second worker is there to look.

        While nobody is seen at all, as after a restart of Redis, a second one may be there.
        """
        commands: list[Command] = []
        workers = self._sending.workers
        for index in microbatches:
            voters = self._tally.voters(index)
            undisputed = voters and not self._tally.is_disputed(index)
            alone = workers and not workers - voters - set(unable)
            if self._tally.is_missing(index) and undisputed and alone:
                self._tally.waive(index)
                message = f"Microbatch {index} is not audited: no second worker is there."
                commands.append(Tell(kind="audit_waived", message=message))
        return commands


def _dispute(microbatch: int, voters: set[str]) -> Tell:
    workers = " and ".join(sorted(voters))
    message = f"{workers} found different bits for microbatch {microbatch}; a third worker decides."
    return Tell(kind="audit_mismatch", message=message)


def _mismatch(microbatch: int, wrong: str, right: str) -> str:
    return (
        f"an audit of microbatch {microbatch} found other bits than two workers, one of them "
        f"{right}, agree on; check its earlier iterations with tapeworks replay ({wrong})"
    )
