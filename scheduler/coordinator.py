"""The scheduler's core for one iteration: events in, commands out. Pure: time is an argument.

The queue may lose a message, deliver it twice or late, and say that it took what it did not, or the
other way round. So completeness is kept here: a microbatch is missing until an answer to it was
counted, and is sent again whenever an attempt at it is overdue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from scheduler.commands import Attempt, Command, Diverged, GiveUp, Send, SetAside, Tell
from scheduler.sharding import Shard
from scheduler.standing import MOST_STRIKES, Standing
from scheduler.tally import Tally

#: Shards that are out at one time for each live worker, so that none waits for its next one.
WINDOW_PER_WORKER = 2

#: A shard whose attempts come back without a valid answer more often than this ends the run.
MOST_FAILURES = 5

#: Attempts that must agree that a result is not finite before the run counts as diverged.
DIVERGED_ATTEMPTS = 2

#: Seconds before a shard that a worker of another fingerprint refused is sent again.
REFUSED_SECONDS = 1.0

#: Seconds before a shard is sent again that a worker left to others; doubles each time.
LEFT_SECONDS = 0.02

NOW = float("-inf")

#: A reason that people need not know.
LEFT = "it was left to another worker"


def window(workers: int, runs: int) -> int:
    """Shards that a run may have out.

    A run alone keeps every worker's next shard ready. Several share the workers, and none queues
    more than its part: behind the huge shards of another it would wait for all of them.
    """
    if runs <= 1:
        return max(workers, 1) * WINDOW_PER_WORKER
    return max(workers // runs, 1)


@dataclass(slots=True)
class _Slot:
    """A shard on its way."""

    shard: Shard
    due_at: float = NOW
    sent_at: float = 0.0
    number: int = 0  # attempts so far
    missed: int = 0  # deadlines
    left: int = 0  # messages in a row that a worker left to others
    reason: str = ""  # why it is due
    hedged: bool = False  # the latest attempt has a copy
    failed_by: list[str] = field(default_factory=list)
    not_finite_by: list[str] = field(default_factory=list)


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
        self._slots = {shard.index: _Slot(shard) for shard in shards}
        self._slot_of = {
            microbatch.index: slot
            for slot in self._slots.values()
            for microbatch in slot.shard.microbatches
        }
        self._tally = Tally(self._slot_of, audited)
        self._standing, self._name = standing, name
        self._attempts: dict[str, Attempt] = {}
        self._workers: frozenset[str] = frozenset()
        self._window = WINDOW_PER_WORKER

    @property
    def finished(self) -> bool:
        """Whether every microbatch is held."""
        return self._tally.is_complete

    @property
    def sent(self) -> int:
        """Attempts so far."""
        return len(self._attempts)

    def counted(self) -> dict[int, str]:
        """The attempt that is counted for each microbatch, once it is finished."""
        return {microbatch: self._tally.holder(microbatch) for microbatch in self._slot_of}

    def attempt(self, attempt_id: str) -> Attempt | None:
        """The attempt of this id, if anything of it is still missing."""
        attempt = self._attempts.get(attempt_id)
        return attempt if attempt and self._missing(attempt.shard) else None

    def is_missing(self, microbatch: int) -> bool:
        """Whether an answer to this microbatch is still wanted."""
        return microbatch in self._slot_of and self._tally.is_missing(microbatch)

    # Events

    def saw_workers(self, workers: Iterable[str], runs: int) -> None:
        """These workers are alive and may serve this run, one of so many in progress."""
        known, self._workers = self._workers, frozenset(workers) - self._standing.aside
        self._window = window(len(self._workers), runs)
        if known - self._workers:  # nobody says what they had in hand
            self._all_due("a worker is gone")

    def lost_queue(self, reason: str) -> None:
        """What was sent may be gone."""
        self._all_due(reason)

    def woke(self, now: float) -> list[Command]:
        """Time has passed; the attempts to send now count as sent."""
        unfinished = [slot for slot in self._slots.values() if self._missing(slot.shard)]
        out = [slot for slot in unfinished if slot.due_at > now]
        due = [slot for slot in unfinished if slot.due_at <= now and self._may_go(slot)]
        chosen = due[: max(self._window - len(out), 0)]
        ahead = sum(len(self._missing(slot.shard)) for slot in (*out, *chosen))
        commands: list[Command] = [self._send(slot, now, ahead) for slot in chosen]
        if len(chosen) == len(due):
            commands += self._hedge(out, len(chosen), now)
        return commands

    def next_wake(self) -> float:
        """When the next attempt is overdue or worth a copy; shards without room do not count."""
        times = [
            min(slot.due_at, self._hedge_at(slot))
            for slot in self._slots.values()
            if slot.due_at > NOW and self._missing(slot.shard)
        ]
        return min(times, default=float("inf"))

    def answered(
        self, attempt: Attempt, worker: str, bits: Mapping[int, str], seconds: float, now: float
    ) -> list[Command]:
        """A valid answer: the bits of each of its microbatches, and the worker's time for them.

        The attempt may be one of an earlier owner of the run.
        """
        if worker in self._standing.aside:
            return self.left(attempt, now)
        if attempt.id in self._attempts:
            self._standing.pace.learn(now - attempt.sent_at, seconds, len(bits))
        for microbatch, found in bits.items():
            self._tally.vote(microbatch, worker, found, attempt.id)
        for microbatch in bits:
            self._slot_of[microbatch].left = 0
        touched = {slot.shard.index: slot for slot in map(self._slot_of.__getitem__, bits)}
        commands = [c for slot in touched.values() for c in self._finite_after_all(slot)]
        commands += self._audited(bits)
        for slot in touched.values():
            if any(self._tally.voters(m) for m in self._missing(slot.shard)):
                self._due(slot, "")
        return commands

    def failed(self, attempt: Attempt, worker: str | None, problem: str) -> list[Command]:
        """The worker could not compute it, through no fault that is known to be its own."""
        slot = self._slots[attempt.shard.index]
        slot.failed_by.append(worker or "")
        self._due(slot, "it failed")
        return self._given_up(slot, problem)

    def invalid(self, attempt: Attempt, worker: str | None, problem: str) -> list[Command]:
        """An answer that is not what was asked for, from this worker if it says so."""
        told: list[Command] = [
            Tell(
                kind="answer_invalid",
                message=f"Attempt {attempt.id} is not counted: {problem}.",
            )
        ]
        slot = self._slots[attempt.shard.index]
        slot.failed_by.append(worker or "")
        self._due(slot, "its answer was invalid")
        told += self._strike(worker, problem) if worker else []
        return told + self._given_up(slot, f"its answers were invalid: {problem}")

    def not_finite(self, attempt: Attempt, worker: str) -> list[Command]:
        """An answer with NaN or infinity: the run has diverged, if another worker agrees."""
        slot = self._slots[attempt.shard.index]
        slot.not_finite_by.append(worker)
        self._due(slot, "its answer was not finite")
        agreed = len(slot.not_finite_by) >= DIVERGED_ATTEMPTS
        alone = not self._workers - {worker}
        return [Diverged()] if agreed and (alone or len(set(slot.not_finite_by)) > 1) else []

    def missed(self, attempt: Attempt) -> list[Command]:
        """The worker lacked images or parameters, which are there now."""
        self._due(self._slots[attempt.shard.index], "images or parameters were gone")
        return []

    def left(self, attempt: Attempt, now: float) -> list[Command]:
        """A worker that the attempt was not for has left it to others."""
        if attempt.id not in self._attempts:
            return []
        slot = self._slots[attempt.shard.index]
        slot.due_at = now + min(LEFT_SECONDS * 2**slot.left, REFUSED_SECONDS)
        slot.left, slot.reason = min(slot.left + 1, 10), LEFT
        return self._waive_alone(self._missing(slot.shard))

    def refused(self, attempt: Attempt, now: float) -> list[Command]:
        """A worker of another fingerprint took it; soon another may."""
        slot = self._slots[attempt.shard.index]
        slot.due_at, slot.reason = now + REFUSED_SECONDS, "a worker refused it"
        return []

    # What follows from them

    def _missing(self, shard: Shard) -> list[int]:
        indices = (microbatch.index for microbatch in shard.microbatches)
        return [index for index in indices if self._tally.is_missing(index)]

    def _may_go(self, slot: _Slot) -> bool:
        """While no worker is known one may be there unseen, but one message is enough for it."""
        return bool(self._workers) or slot.number == 0

    def _due(self, slot: _Slot, reason: str) -> None:
        slot.due_at, slot.reason = NOW, reason

    def _all_due(self, reason: str) -> None:
        for slot in self._slots.values():
            self._due(slot, reason)

    def _not_for(self, slot: _Slot, missing: list[int]) -> frozenset[str]:
        """Whoever is set aside or has answered already; who failed, if there is anybody else."""
        barred = set(self._standing.aside)
        barred.update(*(self._tally.voters(microbatch) for microbatch in missing))
        avoided = barred | set(slot.failed_by) | set(slot.not_finite_by)
        return frozenset((avoided if self._workers - avoided else barred) - {""})

    def _send(self, slot: _Slot, now: float, ahead: int) -> Send:
        reason = slot.reason
        if slot.number and slot.due_at > NOW and not reason:
            slot.missed += 1
            reason = "no answer in time"
        slot.due_at = now + self._standing.pace.deadline(ahead, len(self._workers), slot.missed)
        slot.sent_at, slot.hedged, slot.reason = now, False, ""
        return self._next_attempt(slot, now, reason if slot.number and reason != LEFT else "")

    def _next_attempt(self, slot: _Slot, now: float, reason: str) -> Send:
        slot.number += 1
        missing = self._missing(slot.shard)
        wanted = tuple(m for m in slot.shard.microbatches if m.index in missing)
        attempt = Attempt(
            id=self._name(slot.shard, slot.number),
            shard=replace(slot.shard, microbatches=wanted),
            number=slot.number,
            sent_at=now,
            not_for=self._not_for(slot, missing),
        )
        self._attempts[attempt.id] = attempt
        return Send(attempt=attempt, reason=reason)

    def _hedge_at(self, slot: _Slot) -> float:
        if slot.hedged:
            return float("inf")
        return slot.sent_at + self._standing.pace.hedge_after(len(self._missing(slot.shard)))

    def _hedge(self, out: list[_Slot], more: int, now: float) -> list[Command]:
        """Copies of the oldest attempts for workers that have nothing else to do."""
        copies = sum(slot.hedged for slot in out)
        idle = min(len(self._workers), self._window) - len(out) - more - copies
        late = sorted(
            (slot for slot in out if slot.number and self._hedge_at(slot) <= now),
            key=lambda slot: slot.sent_at,
        )
        commands: list[Command] = []
        for slot in late[: max(idle, 0)]:
            slot.hedged = True
            commands.append(self._next_attempt(slot, now, "an idle worker repeats it"))
        return commands

    def _given_up(self, slot: _Slot, problem: str) -> list[Command]:
        """Failures of workers that were set aside are theirs, unless nobody else is there."""
        own = [worker for worker in slot.failed_by if worker not in self._standing.aside]
        failures = len(own if self._workers else slot.failed_by)
        if failures <= MOST_FAILURES:
            return []
        return [GiveUp(shard=slot.shard.index, failures=failures, problem=problem)]

    def _strike(self, worker: str, problem: str) -> list[Command]:
        if not self._standing.strike(worker):
            return []
        return self._set_aside(
            worker, f"{MOST_STRIKES} of its answers were invalid, the last one: {problem}"
        )

    def _set_aside(self, worker: str, reason: str) -> list[Command]:
        """Nothing that it answered in this iteration counts any more."""
        self._standing.aside.add(worker)
        self._workers -= {worker}
        missing = {index for index in self._slot_of if self._tally.is_missing(index)}
        self._tally.discard(worker)
        for index, slot in self._slot_of.items():
            if index not in missing and self._tally.is_missing(index):
                self._due(slot, "its worker was set aside")
        return [SetAside(worker=worker, reason=reason)]

    def _finite_after_all(self, slot: _Slot) -> list[Command]:
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

    def _waive_alone(self, microbatches: Iterable[int]) -> list[Command]:
        """Count audited microbatches as they are when no second worker is there to look."""
        commands: list[Command] = []
        for index in microbatches:
            voters, disputed = self._tally.voters(index), self._tally.is_disputed(index)
            if self.is_missing(index) and voters and not disputed and not self._workers - voters:
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
