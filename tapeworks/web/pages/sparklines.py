"""Small curves of runs' losses per image, from a few of their iterations."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tapeworks.storage.history import History

#: The picture's width and height, in its own units.
WIDTH, HEIGHT = 100, 24

#: Iterations that a curve is drawn from.
MOST_POINTS = 40

#: Curves that are kept: those of the runs that people look at.
MOST_KEPT = 5000


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A run's own committed iterations."""

    run_id: str
    first: int
    #: The first one that is not committed yet.
    end: int

    def sample(self) -> list[int]:
        """Return evenly spread iterations, the first and the newest among them."""
        count = min(self.end - self.first, MOST_POINTS)
        if count <= 1:
            return list(range(self.first, self.end))
        last = self.end - 1 - self.first
        return [self.first + round(place * last / (count - 1)) for place in range(count)]


class Sparklines:
    """Makes curves; one of a run that has not gone on is made once."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._kept = OrderedDict[Span, str]()
        self._lock = threading.Lock()

    def draw(self, spans: Collection[Span]) -> dict[str, str]:
        """Return each run's curve by its id, as the points of a line."""
        with self._lock:
            found = {span: self._kept[span] for span in spans if span in self._kept}
        wanted = {span.run_id: span.sample() for span in spans if span not in found}
        losses = self._history.sample_mean_losses(wanted) if wanted else {}
        for span in spans:
            if span not in found:
                found[span] = points(losses[span.run_id])
        self._keep(found)
        return {span.run_id: line for span, line in found.items()}

    def _keep(self, found: dict[Span, str]) -> None:
        with self._lock:
            self._kept.update(found)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)


def points(losses: Sequence[tuple[int, float]]) -> str:
    """Return the points of a line through the losses, the highest one at the top.

    Infinities and NaN are left out; two points are needed for a line.
    """
    finite = [(iteration, loss) for iteration, loss in losses if math.isfinite(loss)]
    if len(finite) < 2:
        return ""
    (first, _), (last, _) = finite[0], finite[-1]
    low, high = min(loss for _, loss in finite), max(loss for _, loss in finite)
    wide, tall = max(last - first, 1), (high - low) or 1.0

    def place(iteration: int, loss: float) -> str:
        down = HEIGHT - 1 - (loss - low) / tall * (HEIGHT - 2)
        return f"{(iteration - first) / wide * WIDTH:.1f},{down:.1f}"

    return " ".join(place(iteration, loss) for iteration, loss in finite)
