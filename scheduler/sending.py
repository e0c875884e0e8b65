"""Which shards of an iteration are out, due, overdue or worth a copy. Pure: time is an argument.

The queue may lose a message, deliver it twice or late, and say that it took what it did not, or the
other way round. So completeness is kept here: what is missing is sent again when it is overdue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from scheduler.commands import Attempt, Reason, Send
from scheduler.sharding import Shard
from scheduler.standing import Standing
from scheduler.tally import Tally

#: Shards that are out at one time for each live worker, so that none waits for its next one.
WINDOW_PER_WORKER = 2

NOW = float("-inf")


def window(workers: int, runs: int) -> int:
    """Shards that a run may have out.

    A run alone keeps every worker's next shard ready. Several share the workers, and none queues
    more than its part: behind the huge shards of another it would wait for all of them.
    """
    if runs <= 1:
        return max(workers, 1) * WINDOW_PER_WORKER
    return max(workers // runs, 1)


@dataclass(slots=True)
class Slot:
    """A shard on its way."""

    shard: Shard
    due_at: float = NOW
    sent_at: float = 0.0
    number: int = 0  #: attempts so far
    missed: int = 0  #: deadlines
    left: int = 0  #: messages in a row that a worker left to others
    reason: Reason = Reason.FIRST  #: why it is due
    hedged: bool = False  #: the latest attempt has a copy
    failed_by: list[str] = field(default_factory=list)  #: a line for each failure
    not_finite_by: list[str] = field(default_factory=list)
    _heard: set[tuple[str, str]] = field(default_factory=set)

    def due(self, reason: Reason, at: float = NOW) -> None:
        """Its latest attempt came to nothing; it goes out again now, or at that time."""
        self.due_at, self.reason = at, reason

    def has_heard(self, attempt: Attempt, worker: str) -> bool:
        """Whether this worker has failed at this attempt before.

        It says so twice if its answer is delivered twice, or played back by somebody else.
        """
        known = (attempt.id, worker) in self._heard
        self._heard.add((attempt.id, worker))
        return known


class Sending:
    """The shards of one iteration, and every attempt at them."""

    def __init__(
        self,
        shards: Iterable[Shard],
        tally: Tally,
        standing: Standing,
        name: Callable[[Shard, int], str],
    ) -> None:
        self.slots = {shard.index: Slot(shard) for shard in shards}
        self.attempts: dict[str, Attempt] = {}
        self.workers: frozenset[str] = frozenset()  #: alive and trusted
        self._tally, self._standing, self._name = tally, standing, name
        self._window = WINDOW_PER_WORKER
        self.out = 0  #: shards that were sent and not answered, as of the latest look

    def missing(self, shard: Shard) -> list[int]:
        """Its microbatches that still need an answer."""
        return [m.index for m in shard.microbatches if self._tally.is_missing(m.index)]

    def saw_workers(self, workers: Iterable[str], runs: int) -> None:
        """These are alive, and so many runs are in progress."""
        known, self.workers = self.workers, frozenset(workers) - self._standing.aside
        self._window = window(len(self.workers), runs)
        if known - self.workers:  # nobody says what they had in hand
            self.all_due(Reason.WORKER_GONE)

    def all_due(self, reason: Reason) -> None:
        """Whatever was sent may be gone."""
        for slot in self.slots.values():
            slot.due(reason)

    def not_for(self, slot: Slot) -> frozenset[str]:
        """Whoever is set aside or has answered already; who failed, if there is anybody else."""
        barred = set(self._standing.aside)
        barred.update(*(self._tally.voters(index) for index in self.missing(slot.shard)))
        avoided = barred | set(slot.failed_by) | set(slot.not_finite_by)
        return frozenset((avoided if self.workers - avoided else barred) - {""})

    def woke(self, now: float) -> list[Send]:
        """What is to be sent now; it counts as sent."""
        unfinished = [slot for slot in self.slots.values() if self.missing(slot.shard)]
        out = [slot for slot in unfinished if slot.due_at > now]
        due = [slot for slot in unfinished if slot.due_at <= now and self._may_go(slot)]
        chosen = due[: max(self._window - len(out), 0)]
        ahead = sum(len(self.missing(slot.shard)) for slot in (*out, *chosen))
        sends = [self._send(slot, now, ahead) for slot in chosen]
        if len(chosen) == len(due):
            sends += self._hedge(out, len(chosen), now)
        self.out = len(out) + len(chosen)
        return sends

    def next_wake(self, now: float) -> float:
        """When, after now, the next attempt is overdue or worth a copy.

        What is so already and was not sent now has no room: only an event can give it some.
        """
        times = (
            at
            for slot in self.slots.values()
            if self.missing(slot.shard)
            for at in (slot.due_at, self._hedge_at(slot))
            if at > now
        )
        return min(times, default=float("inf"))

    def _may_go(self, slot: Slot) -> bool:
        """While no worker is known one may be there unseen, but one message is enough for it."""
        return bool(self.workers) or slot.number == 0

    def _send(self, slot: Slot, now: float, ahead: int) -> Send:
        reason = slot.reason
        if slot.number and slot.due_at > NOW and not reason:
            slot.missed += 1
            reason = Reason.NO_ANSWER
        alone = len(self.missing(slot.shard)) * len(self.workers)  # one worker computes all of it
        deadline = self._standing.pace.deadline(max(ahead, alone), len(self.workers), slot.missed)
        slot.due_at = now + deadline
        slot.sent_at, slot.hedged, slot.reason = now, False, Reason.FIRST
        return self._next_attempt(slot, now, reason if slot.number else Reason.FIRST)

    def _next_attempt(self, slot: Slot, now: float, reason: Reason) -> Send:
        slot.number += 1
        missing = self.missing(slot.shard)
        wanted = tuple(m for m in slot.shard.microbatches if m.index in missing)
        attempt = Attempt(
            id=self._name(slot.shard, slot.number),
            shard=replace(slot.shard, microbatches=wanted),
            number=slot.number,
            sent_at=now,
            not_for=self.not_for(slot),
        )
        self.attempts[attempt.id] = attempt
        return Send(attempt=attempt, reason=reason)

    def _hedge_at(self, slot: Slot) -> float:
        if slot.hedged or not slot.number:
            return float("inf")
        return slot.sent_at + self._standing.pace.hedge_after(len(self.missing(slot.shard)))

    def _hedge(self, out: list[Slot], more: int, now: float) -> list[Send]:
        """Copies of the oldest attempts for workers that have nothing else to do."""
        copies = sum(slot.hedged for slot in out)
        idle = min(len(self.workers), self._window) - len(out) - more - copies
        late = sorted(
            (slot for slot in out if self._hedge_at(slot) <= now), key=lambda slot: slot.sent_at
        )
        sends: list[Send] = []
        for slot in late[: max(idle, 0)]:
            slot.hedged = True
            sends.append(self._next_attempt(slot, now, Reason.IDLE_WORKER))
        return sends
