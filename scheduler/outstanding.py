"""Which shards are still missing, and which of them to send now. Pure: time is an argument.

The queue may lose a message, deliver it twice or late, so completeness is kept here: a shard is
missing until one of its attempts was counted, and is sent again whenever an attempt is overdue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from scheduler.sharding import Shard

#: Bounds in seconds of the time an attempt has before another is sent.
SHORTEST_DEADLINE_SECONDS = 1.0
LONGEST_DEADLINE_SECONDS = 60.0

#: An attempt has this many times the expected time, and more with every further attempt.
DEADLINE_FACTOR = 4.0
DEADLINE_GROWTH = 1.5

#: Share of the newest measurement in the expected seconds per microbatch.
NEWEST_SHARE = 0.3

#: Shards that are out at one time, per live worker.
WINDOW_PER_WORKER = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One sending of one shard."""

    id: str
    shard: Shard
    number: int  #: counted from 1
    sent_at: float  #: seconds, on the caller's clock


class Pace:
    """Seconds from sending a microbatch to its answer, learned over a whole run."""

    def __init__(self) -> None:
        self.seconds: float | None = None

    def learn(self, seconds: float, microbatches: int) -> None:
        """An attempt with so many microbatches took this long."""
        newest = seconds / microbatches
        known = newest if self.seconds is None else self.seconds
        self.seconds = NEWEST_SHARE * newest + (1 - NEWEST_SHARE) * known

    def deadline(self, microbatches_ahead: int, workers: int, attempt: int) -> float:
        """Seconds an attempt has when so many microbatches are out; the longest if unknown."""
        if self.seconds is None:
            return LONGEST_DEADLINE_SECONDS
        ahead = max(microbatches_ahead / max(workers, 1), 1.0)
        seconds = DEADLINE_FACTOR * self.seconds * ahead * DEADLINE_GROWTH ** (attempt - 1)
        return min(max(seconds, SHORTEST_DEADLINE_SECONDS), LONGEST_DEADLINE_SECONDS)


class Outstanding:
    """The shards of one iteration, from the first sending to the last answer."""

    def __init__(
        self, shards: Iterable[Shard], pace: Pace, name: Callable[[Shard, int], str]
    ) -> None:
        """`name` gives an attempt's id from its shard and number."""
        self._missing = {shard.index: shard for shard in shards}
        self._pace = pace
        self._name = name
        self._attempts: dict[str, Attempt] = {}
        self._due_at = dict.fromkeys(self._missing, float("-inf"))
        self._numbers = dict.fromkeys(self._missing, 0)

    @property
    def finished(self) -> bool:
        """Whether every shard was counted."""
        return not self._missing

    @property
    def sent(self) -> int:
        """Attempts so far."""
        return len(self._attempts)

    def due(self, now: float, workers: int) -> list[Attempt]:
        """The attempts to send now; they count as sent.

        While no worker is known, a shard is sent once at most: one may be there unseen, but more
        messages would only wait in the queue.
        """
        out = {index for index, due_at in self._due_at.items() if due_at > now}
        room = max(workers, 1) * WINDOW_PER_WORKER - len(out)
        waiting = [
            shard
            for index, shard in self._missing.items()
            if index not in out and (workers or not self._numbers[index])
        ]
        chosen = waiting[: max(room, 0)]
        ahead = sum(len(self._missing[index].microbatches) for index in out)
        ahead += sum(len(shard.microbatches) for shard in chosen)
        return [self._send(shard, now, ahead, workers) for shard in chosen]

    def next_due(self) -> float:
        """The time at which the next attempt is overdue; shards not sent yet wait for room."""
        waiting = float("-inf")
        return min((at for at in self._due_at.values() if at > waiting), default=float("inf"))

    def attempt(self, attempt_id: str) -> Attempt | None:
        """The attempt of this id, if its shard is still missing."""
        attempt = self._attempts.get(attempt_id)
        return attempt if attempt and attempt.shard.index in self._missing else None

    def count(self, attempt: Attempt, now: float) -> None:
        """This attempt's answer is the one that is counted for its shard."""
        del self._missing[attempt.shard.index], self._due_at[attempt.shard.index]
        self._pace.learn(now - attempt.sent_at, len(attempt.shard.microbatches))

    def send_again(self, shard: Shard, at: float = float("-inf")) -> None:
        """The shard's latest attempt came to nothing; it is due now, or at that time."""
        self._due_at[shard.index] = at

    def send_all_again(self) -> None:
        """The queue was lost: everything missing is due now."""
        self._due_at = dict.fromkeys(self._missing, float("-inf"))

    def _send(self, shard: Shard, now: float, ahead: int, workers: int) -> Attempt:
        self._numbers[shard.index] += 1
        number = self._numbers[shard.index]
        attempt = Attempt(id=self._name(shard, number), shard=shard, number=number, sent_at=now)
        self._attempts[attempt.id] = attempt
        self._due_at[shard.index] = now + self._pace.deadline(ahead, workers, number)
        return attempt
