"""The judge: counts every image of every iteration, and compares bits. Knows rows only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tests.faults.chaos.history import Result


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The outcome of one run."""

    missed: int  #: images of an iteration that were not counted
    double_counted: int  #: countings too many, of images that exist or not
    first_difference: int | None  #: the first iteration that is not as undisturbed
    problems: tuple[str, ...] = field(default=())

    @property
    def digests_equal(self) -> bool:
        """Return whether every iteration has the bits of the undisturbed run."""
        return self.first_difference is None

    @property
    def is_good(self) -> bool:
        """Return whether every promise was kept."""
        return self.digests_equal and not (self.missed or self.double_counted or self.problems)


def judged(
    results: Sequence[Result],
    ledger: Iterable[tuple[int, int, int]],
    undisturbed: Sequence[Result],
    problems: Iterable[str] = (),
) -> Verdict:
    """A run's results and ledger beside the results of the undisturbed run."""
    missed, double = counted({result.iteration: result.images for result in undisturbed}, ledger)
    return Verdict(
        missed=missed,
        double_counted=double,
        first_difference=first_difference(results, undisturbed),
        problems=tuple(problems),
    )


def counted(images: dict[int, int], ledger: Iterable[tuple[int, int, int]]) -> tuple[int, int]:
    """Images missed and countings too many, where iterations should have so many images."""
    times = {iteration: np.zeros(count, np.int64) for iteration, count in images.items()}
    strangers = 0
    for iteration, first, count in ledger:
        row = times.get(iteration, np.zeros(0, np.int64))
        inside = range(max(first, 0), min(first + count, len(row)))
        strangers += count - len(inside)
        row[inside.start : inside.stop] += 1
    missed = sum(int((row == 0).sum()) for row in times.values())
    return missed, strangers + sum(int((row[row > 1] - 1).sum()) for row in times.values())


def first_difference(results: Sequence[Result], expected: Sequence[Result]) -> int | None:
    """The first iteration whose loss, parameters or per-image values are others, or missing."""
    for place, wanted in enumerate(expected):
        if place >= len(results) or results[place] != wanted:
            return wanted.iteration
    return len(expected) if len(results) > len(expected) else None
