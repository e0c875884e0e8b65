"""A simulated clock and everything that happens by it, in an order that the seed decides."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from itertools import count

#: Lines of the log that are kept when nobody asked for all of it.
TAIL_LINES = 80

Event = tuple[float, int, Callable[[], None]]


class World:
    """Time, chance and the log. All three are the same whenever the seed is."""

    def __init__(self, seed: int, *, whole_log: bool = False) -> None:
        self.now = 0.0
        self.clock_error = 0.0  #: of the clock on the wall, which may jump
        self.chance = random.Random(seed)
        self.log: deque[str] = deque(maxlen=None if whole_log else TAIL_LINES)
        self._heap: list[Event] = []
        self._order = count()

    def monotonic(self) -> float:
        """The clock, by the name that `time` has for it."""
        return self.now

    @property
    def wall(self) -> float:
        """The time that the wall clock shows, with its error."""
        return self.now + self.clock_error

    def at(self, when: float, event: Callable[[], None]) -> None:
        """Let this happen then; what happens at the same time happens in the order of asking."""
        heapq.heappush(self._heap, (when, next(self._order), event))

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        """Let this happen in so many seconds."""
        self.at(self.now + seconds, event)

    def step(self) -> None:
        """The next event, at its time."""
        self.now, _, event = heapq.heappop(self._heap)
        event()

    def tell(self, who: str, what: str) -> None:
        """A line for the log."""
        self.log.append(f"{self.now:9.3f} {who:12} {what}")

    def happens(self, probability: float) -> bool:
        """Draw whether an event of this probability happens; draw nothing if it cannot."""
        return probability > 0 and self.chance.random() < probability
