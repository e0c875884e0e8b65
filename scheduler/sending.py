"""The shards of an iteration that are out, due, overdue or worth a copy. Pure: time is passed in.

The queue may lose a message, deliver it twice or late, and say that it took what it did not, or the
other way round. So completeness is kept here: what is missing is sent again when it is overdue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from scheduler.commands import Attempt, Reason, Send
from scheduler.sharding import Shard
from scheduler.standing import Standing
from scheduler.tally import Tally

#: Shards that are out at one time for each live worker, so that none waits for its next one.
WINDOW_PER_WORKER = 2

NOW = float("-inf")

#: Seconds before a shard is sent again with which a second worker in a row has died; twice as many
#: each time. A shard that answers takes less: nobody can make up such deaths beside it.
DIED_SECONDS = 4.0

#: Seconds that workers who do not agree wait for another one before they are asked again; twice as
#: many each time, as often as that.
STUCK_SECONDS = 4.0
STUCK_DOUBLINGS = 4

#: Workers that alone may answer a shard, since all others have, are not waited for any more after
#: so many attempts and seconds: who shows itself need not be able to answer.
UNHEARD_ATTEMPTS = 4
UNHEARD_SECONDS = 120.0


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
    not_finite_by: list[str] = field(default_factory=list)  #: likewise
    answered: set[str] = field(default_factory=set)  #: ids of attempts that have come back
    stuck_since: float | None = None  #: its workers do not agree, and no other is there
    stuck: int = 0  #: times that its workers were asked again for that
    deaths: dict[str, str] = field(default_factory=dict)  #: workers that died with each attempt
    rests_until: float = NOW  #: not sent again before
    silent: set[str] = field(default_factory=set)  #: workers that are not waited for any more
    unheard: int = 0  #: attempts for others than those who have answered
    unheard_since: float = 0.0  #: the first of these
    _heard: set[tuple[str, str]] = field(default_factory=set)
    _voices: set[str] = field(default_factory=set)

    def due(self, reason: Reason, at: float = NOW) -> None:
        """Its latest attempt came to nothing; it goes out again now, or at that time."""
        self.due_at, self.reason = max(at, self.rests_until), reason

    def note_death(self, attempt: Attempt, worker: str, now: float) -> None:
        """A worker died with it in hand; others are spared for a while if it is not the first."""
        if attempt.id in self.deaths or worker in self.deaths.values():
            return
        self.deaths[attempt.id] = worker
        if (more := len(self.deaths) - 2) >= 0:
            self.rests_until = now + DIED_SECONDS * 2.0**more

    def note_answer(self, attempt: Attempt, worker: str) -> None:
        """Note a valid answer: it is no shard that workers die of."""
        self.hear(worker)
        self.answered.add(attempt.id)
        self.left = 0
        self.deaths.clear()
        self.rests_until = NOW

    def hear(self, worker: str) -> None:
        """Note that the worker has answered; others have as much time again if it is the first."""
        self.silent.discard(worker)
        if worker not in self._voices:
            self._voices.add(worker)
            self.unheard = 0

    def ask_again(self) -> None:
        """Forget who has said what, and who has said nothing."""
        self.not_finite_by, self.unheard = [], 0
        self.silent.clear()
        self._voices.clear()

    def has_heard(self, attempt: Attempt, worker: str) -> bool:
        """Record this worker's failure at this attempt; return whether it was known before.

        It says so twice if its answer is delivered twice, or played back by somebody else.
        """
        known = (attempt.id, worker) in self._heard
        self._heard.add((attempt.id, worker))
        return known


def patience_ends(slot: Slot) -> float:
    """Return when workers that do not agree on a shard are asked again; never if there are none."""
    if slot.stuck_since is None:
        return float("inf")
    return slot.stuck_since + STUCK_SECONDS * 2.0 ** min(slot.stuck, STUCK_DOUBLINGS)


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
        self.workers: frozenset[str] = frozenset()  #: alive, trusted, of the right fingerprint
        self.strangers: frozenset[str] = frozenset()  #: the same, of another fingerprint
        self._living: Mapping[str, str] = {}
        self._in_hand: Mapping[str, str] = {}
        self.queue_length = 0  #: messages of all runs that nobody has taken, as of the latest look
        self._tally, self._standing, self._name = tally, standing, name
        self._runs = 1
        self.out = 0  #: shards that were sent and not answered, as of the latest look

    def is_missing(self, slot: Slot) -> bool:
        """Return whether no answer to the shard is counted."""
        return self._tally.is_missing(slot.shard.index)

    def saw_workers(
        self,
        living: Mapping[str, str],
        runs: int,
        queue_length: int,
        in_hand: Mapping[str, str],
        now: float,
    ) -> None:
        """These are alive, each with its fingerprint, for so many runs and messages.

        Some have an attempt `in_hand`, by its id; those that are gone had one when last seen.
        """
        self.queue_length = queue_length
        gone = self.workers - living.keys()
        for worker in gone:
            attempt = self.attempts.get(self._in_hand.get(worker, ""))
            if attempt and self._tally.is_missing(attempt.shard.index):
                self.slots[attempt.shard.index].note_death(attempt, worker, now)
        self._in_hand = in_hand
        self._living, self._runs = living, runs
        self.refit()
        if gone:  # nobody says what they had in hand
            self.all_due(Reason.WORKER_GONE)

    def refit(self) -> None:
        """See again which of the living may compute this run."""
        trusted = {n: f for n, f in self._living.items() if n not in self._standing.aside}
        fitting = frozenset(n for n, f in trusted.items() if self._standing.accepts(f))
        self.workers, self.strangers = fitting, frozenset(trusted) - fitting

    def shows(self, fingerprint: str) -> bool:
        """Return whether a trusted living worker has it, or nobody at all is seen."""
        trusted = self.workers | self.strangers
        return not trusted or any(self._living[name] == fingerprint for name in trusted)

    def all_due(self, reason: Reason) -> None:
        """Whatever was sent may be gone."""
        for slot in self.slots.values():
            slot.due(reason)

    def awaited(self, slot: Slot) -> frozenset[str]:
        """Return the living workers that may be expected to answer it, or all if these are gone."""
        return self.workers - slot.silent or self.workers

    def note_silence(self, slot: Slot, now: float) -> None:
        """Wait no longer for workers that have not answered though it was for them alone."""
        seconds = UNHEARD_SECONDS + self._queueing_seconds(slot)
        if slot.unheard >= UNHEARD_ATTEMPTS and now - slot.unheard_since > seconds:
            slot.silent |= self.awaited(slot) - self.not_for(slot)
            slot.unheard = 0

    def barred(self, slot: Slot) -> set[str]:
        """The workers that have answered it already, with numbers or without.

        Where all say that there are none, they may say so again.
        """
        voters = self._tally.voters(slot.shard.index)
        if slot.not_finite_by and (voters or self.awaited(slot) - set(slot.not_finite_by)):
            voters.update(slot.not_finite_by)
        return voters

    def is_stuck(self, slot: Slot) -> bool:
        """Return whether the shard is missing, and no living worker may take it."""
        if not self.workers or not self.is_missing(slot):
            return False
        return not self.awaited(slot) - self.barred(slot)

    def not_for(self, slot: Slot) -> frozenset[str]:
        """The workers that may not take it. Who failed is avoided if there is anybody else."""
        barred = self.barred(slot)
        avoided = barred | set(slot.failed_by)
        barred = avoided if self.awaited(slot) - avoided else barred
        return frozenset(barred & self._living.keys() | self._standing.aside)

    def woke(self, now: float) -> list[Send]:
        """Return what is to be sent now, and count it as sent."""
        unfinished = [slot for slot in self.slots.values() if self.is_missing(slot)]
        out = [slot for slot in unfinished if self._is_out(slot, now)]
        due = (slot for slot in unfinished if not self._is_out(slot, now) and self._may_go(slot))
        chosen = list(islice(due, max(window(len(self.workers), self._runs) - len(out), 0)))
        ahead = sum(slot.shard.microbatches for slot in (*out, *chosen))
        sends = [self._send(slot, now, ahead) for slot in chosen]
        if next(due, None) is None:  # nothing waits for room
            sends += self._hedge(out, len(chosen), now)
        self.out = len(out) + len(chosen)
        return sends

    def next_wake(self, now: float) -> float:
        """Return when, after now, the next attempt is overdue, worth a copy, or worth asking again.

        What is so already and was not sent now has no room: only an event can give it some.
        """
        times = (
            at
            for slot in self.slots.values()
            if self.is_missing(slot)
            for at in (slot.due_at, self._hedge_at(slot), patience_ends(slot))
            if at > now
        )
        return min(times, default=float("inf"))

    def _is_out(self, slot: Slot, now: float) -> bool:
        """Return whether an answer may still come: in time, or because its message merely waits."""
        if slot.due_at > now:
            return True
        was_sent = slot.number and slot.due_at > NOW and not slot.reason
        return bool(was_sent) and now < slot.due_at + self._queueing_seconds(slot)

    def _queueing_seconds(self, slot: Slot) -> float:
        """Return how much longer a message may have waited in the queue than others did of late."""
        if not self.queue_length:
            return 0.0
        shards_ahead = self.queue_length / max(len(self.workers), 1)
        pace, microbatches = self._standing.pace, slot.shard.microbatches
        return pace.queueing(shards_ahead, microbatches)

    def superseded(self, slot: Slot) -> tuple[str, ...]:
        """Attempts at a shard that are of no use any more, and that nobody has answered."""
        if slot.number == 1 or self.is_missing(slot):
            return ()
        ids = [self._name(slot.shard, number) for number in range(1, slot.number + 1)]
        return tuple(one for one in ids if one not in slot.answered)

    def _may_go(self, slot: Slot) -> bool:
        """Return whether some worker may take the shard.

        While no worker is known one may be there unseen, but one message is enough for it.
        """
        return not self.is_stuck(slot) if self.workers else slot.number == 0

    def _send(self, slot: Slot, now: float, ahead: int) -> Send:
        reason = slot.reason
        if slot.number and slot.due_at > NOW and not reason:
            slot.missed += 1
            reason = Reason.NO_ANSWER
        alone = slot.shard.microbatches * len(self.workers)  # one worker computes all of it
        deadline = self._standing.pace.deadline(max(ahead, alone), len(self.workers), slot.missed)
        slot.due_at = now + deadline
        slot.sent_at, slot.hedged, slot.reason = now, False, Reason.FIRST
        return self._next_attempt(slot, now, reason if slot.number else Reason.FIRST)

    def _next_attempt(self, slot: Slot, now: float, reason: Reason) -> Send:
        slot.number += 1
        not_for = self.not_for(slot)
        if not_for & self.awaited(slot):
            slot.unheard_since = slot.unheard_since if slot.unheard else now
            slot.unheard += 1
        attempt = Attempt(
            id=self._name(slot.shard, slot.number),
            shard=slot.shard,
            number=slot.number,
            sent_at=now,
            not_for=not_for,
        )
        self.attempts[attempt.id] = attempt
        return Send(attempt=attempt, reason=reason)

    def _hedge_at(self, slot: Slot) -> float:
        if slot.hedged or not slot.number:
            return float("inf")
        return slot.sent_at + self._standing.pace.hedge_after(slot.shard.microbatches)

    def _hedge(self, out: list[Slot], more: int, now: float) -> list[Send]:
        """Copies of the oldest attempts for workers that have nothing else to do.

        None has, while messages wait in the queue.
        """
        if self.queue_length:
            return []
        copies = sum(slot.hedged for slot in out)
        allowed = window(len(self.workers), self._runs)
        idle = min(len(self.workers), allowed) - len(out) - more - copies
        late = sorted(
            (slot for slot in out if self._hedge_at(slot) <= now and self._may_go(slot)),
            key=lambda slot: slot.sent_at,
        )
        sends: list[Send] = []
        for slot in late[: max(idle, 0)]:
            slot.hedged = True
            sends.append(self._next_attempt(slot, now, Reason.IDLE_WORKER))
        return sends
