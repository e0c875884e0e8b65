"""What a run has learned of its workers, kept from iteration to iteration. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from scheduler.pace import Pace

#: A worker with so many invalid answers is set aside for the run.
MOST_STRIKES = 3


class Standing:
    """The pace of a run's workers, and which of them are not trusted any more."""

    def __init__(self, aside: Iterable[str] = ()) -> None:
        self.pace = Pace()
        self.aside = set(aside)  #: names of the workers whose answers do not count
        self._strikes: Counter[str] = Counter()

    def strike(self, worker: str) -> bool:
        """Note an invalid answer; whether it was one too many, for the first time."""
        self._strikes[worker] += 1
        return self._strikes[worker] >= MOST_STRIKES and worker not in self.aside
