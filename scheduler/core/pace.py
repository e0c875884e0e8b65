"""The time that microbatches take, learned from a run's answers. Pure: seconds are arguments."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from functools import partial

#: Bounds in seconds of the time an attempt has before another is sent.
SHORTEST_DEADLINE_SECONDS = 1.0
LONGEST_DEADLINE_SECONDS = 60.0

#: The same while nothing was measured yet: long enough to compile, mostly.
FIRST_DEADLINE_SECONDS = 10.0

#: An attempt has this many times the expected time, and more each time it was not enough.
DEADLINE_FACTOR = 4.0
DEADLINE_GROWTH = 1.5

#: While messages wait in the queue, one more may wait this many times as long as the latest did,
#: and no longer than answers are kept.
QUEUEING_FACTOR = 2.0
LONGEST_QUEUEING_SECONDS = 600.0

#: An idle worker repeats a shard that takes this many times the expected time, or longer than the
#: least that is worth a message.
HEDGE_FACTOR = 2.0
SHORTEST_HEDGE_SECONDS = 0.25

#: Share of the newest measurement in what is expected.
NEWEST_SHARE = 0.3

#: Anything shorter counts as if it took as long.
SHORTEST_SECONDS = 1e-6

#: Measurements of each worker of which the median tells how fast it is: one that was disturbed, or
#: compiled its network first, does not make it slow.
NEWEST_MEASURED = 3


class Pace:
    """Expected seconds per microbatch: from sending to answer, and in the worker's hands."""

    def __init__(self) -> None:
        self.seconds: float | None = None  #: from sending to answer
        self.service_seconds: float | None = None  #: in the worker's hands
        self.queue_seconds: float | None = None  #: of a whole message, before that
        newest = partial(deque[float], maxlen=NEWEST_MEASURED)
        self._newest: defaultdict[str, deque[float]] = defaultdict(newest)  # by worker

    def learn(self, seconds: float, service_seconds: float, microbatches: int) -> None:
        """An attempt with so many microbatches took this long."""
        self.queue_seconds = _average(self.queue_seconds, max(seconds - service_seconds, 0.0))
        self.seconds = _average(self.seconds, seconds / microbatches)
        self.service_seconds = _average(self.service_seconds, service_seconds / microbatches)

    def measure(self, worker: str, service_seconds: float, microbatches: int) -> None:
        """Note how long this worker took for so many."""
        self._newest[worker].append(service_seconds / microbatches)

    def spread(self, workers: Iterable[str]) -> float | None:
        """Return how many times as long the slowest of these takes as the fastest.

        None unless all of them were measured.
        """
        newest = [sorted(self._newest.get(worker, ())) for worker in workers]
        if not newest or not all(newest):
            return None
        times = [measured[(len(measured) - 1) // 2] for measured in newest]
        return max(times) / max(min(times), SHORTEST_SECONDS)

    def deadline(self, microbatches_ahead: int, workers: int, missed: int) -> float:
        """Seconds an attempt has when so many microbatches are out.

        `missed` deadlines of the same shard make the next one longer.
        """
        ahead = max(microbatches_ahead / max(workers, 1), 1.0)
        seconds = FIRST_DEADLINE_SECONDS
        if self.seconds is not None:
            seconds = DEADLINE_FACTOR * self.seconds * ahead
        seconds = max(seconds, SHORTEST_DEADLINE_SECONDS) * DEADLINE_GROWTH ** min(missed, 50)
        return min(seconds, LONGEST_DEADLINE_SECONDS)

    def queueing(self, shards_ahead: float, microbatches: int) -> float:
        """Seconds that a message may wait behind so many for each worker, all like this one.

        Others' shards may be longer: what was measured counts if it is more.
        """
        each = FIRST_DEADLINE_SECONDS
        if self.service_seconds is not None:
            each = max(self.service_seconds * microbatches, SHORTEST_DEADLINE_SECONDS)
        measured = QUEUEING_FACTOR * (self.queue_seconds or 0.0)
        return min(max(shards_ahead * each, measured), LONGEST_QUEUEING_SECONDS)

    def hedge_after(self, microbatches: int) -> float:
        """Seconds after which an idle worker repeats an attempt; never while nothing is known."""
        if self.seconds is None:
            return float("inf")
        return max(HEDGE_FACTOR * self.seconds * microbatches, SHORTEST_HEDGE_SECONDS)


def _average(known: float | None, newest: float) -> float:
    return newest if known is None else NEWEST_SHARE * newest + (1 - NEWEST_SHARE) * known
