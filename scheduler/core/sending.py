"""The shards of an iteration that are out, due, overdue or worth a copy. Pure: time is passed in.

The queue may lose a message, deliver it twice or late, and say that it took what it did not, or the
other way round. So completeness is kept here: what is missing is sent again when it is overdue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import islice, takewhile

from tapeworks.scheduler.core.decisions import Attempt, Reason, Send
from tapeworks.scheduler.core.sharding import Shard
from tapeworks.scheduler.core.standing import Standing
from tapeworks.scheduler.core.votes import Tally

#: Shards that are out at one time for each live worker, so that none waits for its next one.
WINDOW_PER_WORKER = 2

NOW = float("-inf")

#: Seconds before a shard is sent again with which a second worker in a row has died; twice as many
#: each time. A shard that answers takes less: nobody can make up such deaths beside it.
DIED_SECONDS = 4.0

#: Workers that alone may answer a shard, since all others have, are not waited for any more after
#: so many attempts and seconds: a worker with a heartbeat need not be able to answer.
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
    failed_by: list[str] = field(default_factory=list)  #: a line for each failure
    not_finite_by: list[str] = field(default_factory=list)  #: likewise
    answered: set[str] = field(default_factory=set)  #: ids of attempts that have come back
    asked_again: int = 0  #: times that all its workers were, since they did not agree
    deaths: dict[str, str] = field(default_factory=dict)  #: workers that died with each attempt
    rests_until: float = NOW  #: not sent again before
    silent: set[str] = field(default_factory=set)  #: workers that are not waited for any more
    unheard: int = 0  #: attempts for others than those who have answered
    unheard_since: float = 0.0  #: the first of these
    answered_at: float = NOW  #: the latest valid answer
    _heard: set[tuple[str, str]] = field(default_factory=set)
    _voices: set[str] = field(default_factory=set)

    def note_death(self, attempt: Attempt, worker: str, now: float) -> None:
        """A worker died with it in hand; others are spared for a while if it is not the first.

        Nobody sees that at once: an answer may have come meanwhile, and then it says nothing.
        """
        is_known = attempt.id in self.deaths or worker in self.deaths.values()
        if is_known or attempt.sent_at < self.answered_at:
            return
        self.deaths[attempt.id] = worker
        if (more := len(self.deaths) - 2) >= 0:
            self.rests_until = now + DIED_SECONDS * 2.0**more

    def note_answer(self, attempt: Attempt, worker: str, now: float) -> None:
        """Note a valid answer: it is no shard that workers die of."""
        self.hear(worker)
        self.answered_at = now
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
        self.asked_again += 1
        self.not_finite_by, self.unheard = [], 0
        self.silent.clear()
        self._voices.clear()

    def record_failure(self, attempt: Attempt, worker: str) -> bool:
        """Record this worker's failure at this attempt; return False if it was known before.

        A failure comes twice if its answer is delivered twice, or replayed by another client.
        """
        is_new = (attempt.id, worker) not in self._heard
        self._heard.add((attempt.id, worker))
        return is_new


class Sending:
    """The shards of one iteration, and every attempt at them.

    An ordinary answer costs no pass over all shards: looked at are those that are due, the oldest
    attempt and the next shard that was never sent.
    """

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
        self.struck: dict[int, Slot] = {}  #: shards with which a worker has died
        self._living: Mapping[str, str] = {}
        self._in_hand: Mapping[str, str] = {}
        self.queue_length = 0  #: messages of all runs that nobody has taken, as of the latest look
        self._tally, self._standing, self._name = tally, standing, name
        self._runs = 1
        self.out = 0  #: shards that were sent and not answered, as of the latest look
        self._fresh = deque(self.slots.values())  # never sent
        self._agenda: list[tuple[float, int]] = []  # a heap: when which of the others is due
        self._overdue: set[int] = set()  # those that are, unless an answer was counted since
        self._uncopied: deque[Attempt] = deque()  # the oldest first, some of no interest any more
        self._copies: list[Attempt] = []
        #: That of the largest shard: all are expected to take as long.
        self._microbatches = max((slot.shard.microbatches for slot in self._fresh), default=1)

    def is_missing(self, slot: Slot) -> bool:
        """Return whether no answer to the shard is counted."""
        return self._tally.is_missing(slot.shard.index)

    # Who is there

    def saw_workers(
        self,
        living: Mapping[str, str],
        runs: int,
        queue_length: int,
        in_hand: Mapping[str, str],
        now: float,
    ) -> None:
        """These are alive, each with its fingerprint, for so many runs and messages.

        Some have an attempt `in_hand`, by its id; those that are gone had one when last seen. The
        same mappings as last time say nothing new.
        """
        self._runs, self.queue_length = runs, queue_length
        if living is self._living and in_hand is self._in_hand:
            return
        self._standing.register(living)
        gone = self.workers - living.keys()
        self._note_deaths(gone, now)
        self._living, self._in_hand = living, in_hand
        self.refit()
        if gone:  # nobody says what they had in hand
            self.all_due(Reason.WORKER_GONE)

    def _note_deaths(self, gone: Iterable[str], now: float) -> None:
        for worker in gone:
            attempt = self.attempts.get(self._in_hand.get(worker, ""))
            if attempt and self._tally.is_missing(attempt.shard.index):
                slot = self.struck[attempt.shard.index] = self.slots[attempt.shard.index]
                slot.note_death(attempt, worker, now)

    def refit(self) -> None:
        """See again which of the living may compute this run."""
        excluded = self._standing.excluded
        trusted = {n: f for n, f in self._living.items() if n not in excluded}
        fitting = frozenset(n for n, f in trusted.items() if self._standing.accepts(f))
        self.workers, self.strangers = fitting, frozenset(trusted) - fitting

    def shows(self, fingerprint: str) -> bool:
        """Return whether a trusted living worker has it, or nobody at all is seen."""
        trusted = self.workers | self.strangers
        return not trusted or any(self._living[name] == fingerprint for name in trusted)

    # Who may take a shard

    def candidates_for(self, slot: Slot) -> frozenset[str]:
        """Return the living workers that may be expected to answer it, or all if these are gone."""
        return (self.workers - slot.silent if slot.silent else self.workers) or self.workers

    def note_silence(self, slot: Slot, now: float) -> None:
        """Wait no longer for workers that have not answered though it was for them alone."""
        seconds = UNHEARD_SECONDS + self._queueing_seconds()
        if slot.unheard >= UNHEARD_ATTEMPTS and now - slot.unheard_since > seconds:
            slot.silent |= self.candidates_for(slot) - self.not_for(slot)
            slot.unheard = 0

    def workers_to_skip(self, slot: Slot) -> set[str]:
        """The workers that have answered it already, with numbers or without.

        Where all say that there are none, they may say so again.
        """
        voters = self._tally.voters(slot.shard.index)
        if slot.not_finite_by and (voters or self.candidates_for(slot) - set(slot.not_finite_by)):
            voters.update(slot.not_finite_by)
        return voters

    def is_stuck(self, slot: Slot) -> bool:
        """Return whether the shard is missing, and no living worker may take it."""
        if not self.workers or not self.is_missing(slot):
            return False
        return self.candidates_for(slot) <= self.workers_to_skip(slot)

    def not_for(self, slot: Slot) -> frozenset[str]:
        """The workers that may not take it. Who failed is avoided if there is anybody else."""
        barred = self.workers_to_skip(slot)
        avoided = barred.union(slot.failed_by)
        if not self.candidates_for(slot) <= avoided:
            barred = avoided
        return frozenset(barred & self._living.keys() | self._standing.excluded)

    # What is due

    def due(self, slot: Slot, reason: Reason, at: float = NOW) -> None:
        """Its latest attempt came to nothing; it goes out again now, or at that time."""
        slot.reason = reason
        self._note(slot, max(at, slot.rests_until))

    def all_due(self, reason: Reason) -> None:
        """Whatever was sent may be gone."""
        for slot in self.slots.values():
            if slot.number and self.is_missing(slot):
                self.due(slot, reason)

    def collect_due(self, now: float) -> list[Slot]:
        """Return the missing shards that were sent and are due, in their order."""
        while self._agenda and self._agenda[0][0] <= now:
            at, shard = heappop(self._agenda)
            if self.slots[shard].due_at == at:  # and no other time was noted since
                self._overdue.add(shard)
        if self._overdue:
            self._overdue = set(filter(self._tally.is_missing, self._overdue))
        return [self.slots[shard] for shard in sorted(self._overdue)]

    def _note(self, slot: Slot, due_at: float) -> None:
        slot.due_at = due_at
        self._overdue.discard(slot.shard.index)
        heappush(self._agenda, (due_at, slot.shard.index))

    def next_wake(self, now: float) -> float:
        """Return when, after now, the next attempt is overdue or worth a copy.

        What is so already and was not sent now has no room: only an event can give it some.
        """
        overdue, queueing = self.collect_due(now), self._queueing_seconds()
        while self._agenda and not self._is_noted(*self._agenda[0]):
            heappop(self._agenda)
        times = [slot.due_at + queueing for slot in overdue]
        times += islice(map(self._copy_at, self._without_copy()), 1)
        times += [at for at, _ in self._agenda[:1]]
        return min((at for at in times if at > now), default=float("inf"))

    def _is_noted(self, due_at: float, shard: int) -> bool:
        return self.slots[shard].due_at == due_at and self._tally.is_missing(shard)

    def woke(self, now: float) -> list[Send]:
        """Return what is to be sent now, and count it as sent."""
        due = [slot for slot in self.collect_due(now) if not self._merely_waits(slot, now)]
        out = self._tally.missing - len(self._fresh) - len(due)
        room = max(window(len(self.workers), self._runs) - out, 0)
        again = [slot for slot in due if self._may_go(slot)]
        chosen = again[:room]
        while self._fresh and len(chosen) < room:
            chosen.append(self._fresh.popleft())
        self.out = out + len(chosen)
        sends = [self._send(slot, now) for slot in chosen]
        if not self._fresh and len(again) <= room:  # nothing waits for room
            sends += self._copy(now)
        return sends

    def _merely_waits(self, slot: Slot, now: float) -> bool:
        """Return whether an answer may still come though it is due: its message is in the queue."""
        was_sent = slot.due_at > NOW and not slot.reason
        return was_sent and now < slot.due_at + self._queueing_seconds()

    def _queueing_seconds(self) -> float:
        """Return how much longer a message may have waited in the queue than others did of late."""
        if not self.queue_length:
            return 0.0
        shards_ahead = self.queue_length / max(len(self.workers), 1)
        return self._standing.pace.queueing(shards_ahead, self._microbatches)

    def find_superseded(self, slot: Slot) -> tuple[str, ...]:
        """Return the attempts at a counted shard that no worker has answered."""
        if slot.number == 1 or self.is_missing(slot):
            return ()
        ids = [self._name(slot.shard, number) for number in range(1, slot.number + 1)]
        return tuple(one for one in ids if one not in slot.answered)

    def _may_go(self, slot: Slot) -> bool:
        """Return whether some worker may take the shard, which was sent before.

        While no worker is known one may be there unseen, but one message is enough for it.
        """
        return bool(self.workers) and not self.is_stuck(slot)

    def _send(self, slot: Slot, now: float) -> Send:
        reason = slot.reason
        if slot.number and slot.due_at > NOW and not reason:
            slot.missed += 1
            reason = Reason.NO_ANSWER
        workers = len(self.workers)
        ahead = self._microbatches * max(self.out, workers)  # one worker computes all of its shard
        deadline = self._standing.pace.deadline(ahead, workers, slot.missed)
        self._note(slot, now + deadline)
        slot.sent_at, slot.reason = now, Reason.FIRST
        send = self._next_attempt(slot, now, reason if slot.number else Reason.FIRST)
        self._uncopied.append(send.attempt)
        return send

    def _next_attempt(self, slot: Slot, now: float, reason: Reason) -> Send:
        slot.number += 1
        not_for = self.not_for(slot)
        if not_for & self.candidates_for(slot):
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

    # Copies

    def _copy(self, now: float) -> list[Send]:
        """Copies of the oldest attempts for workers that have nothing else to do.

        None has, while messages wait in the queue.
        """
        if self.queue_length:
            return []
        self._copies = list(filter(self._is_out, self._copies))
        idle = min(len(self.workers), window(len(self.workers), self._runs)) - self.out
        late = takewhile(lambda slot: self._copy_at(slot) <= now, self._without_copy())
        chosen = list(islice(filter(self._may_go, late), max(idle - len(self._copies), 0)))
        sends = [self._next_attempt(slot, now, Reason.IDLE_WORKER) for slot in chosen]
        self._copies += (send.attempt for send in sends)
        return sends

    def _copy_at(self, slot: Slot) -> float:
        return slot.sent_at + self._standing.pace.hedge_after(self._microbatches)

    def _without_copy(self) -> Iterator[Slot]:
        """Return the shards that are out and have no copy, the oldest first."""
        while self._uncopied and not self._is_out(self._uncopied[0]):
            self._uncopied.popleft()
        return (self.slots[one.shard.index] for one in self._uncopied if self._is_out(one))

    def _is_out(self, attempt: Attempt) -> bool:
        """Return whether its shard is missing, it may be answered, and none was sent since."""
        slot = self.slots[attempt.shard.index]
        return self.is_missing(slot) and slot.number == attempt.number and not slot.reason
