"""Times of standstill, from each fault to the next commit, read from the journal."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.faults.chaos.journal import Entry, at, of

#: Seconds after the last fault in which a gap is still due to it.
LAST_SECONDS = 10.0

#: Victim and kind of a fault.
Struck = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Seconds from a fault to the next commit, of all faults of a kind."""

    faults: int
    median: float
    percentile_95: float
    worst: float


def recoveries(entries: Sequence[Entry]) -> dict[Struck, list[float]]:
    """Seconds from every fault to the next commit; infinite where none came.

    A commit counts as later than a fault only if it surely is: what was seen after the fault, but
    may have been stored before, does not.
    """
    commits = sorted(of(entries, "commit"), key=at)
    found: dict[Struck, list[float]] = defaultdict(list)
    for fault in of(entries, "fault"):
        later = (at(commit) for commit in commits if commit["not_before"] >= at(fault))
        next_commit = next(later, math.inf)
        found[fault["victim"], fault["kind"]].append(next_commit - at(fault))
    return dict(found)


def stalls(entries: Sequence[Entry]) -> dict[Struck, list[float]]:
    """The longest time without a commit that a fault may have caused.

    A fault may show only in the iteration after the next commit: a worker had nothing in hand when
    it was killed. So every gap counts that ends after the fault and begins before the next one.
    """
    faults, commits = of(entries, "fault"), sorted(of(entries, "commit"), key=at)
    found: dict[Struck, list[float]] = defaultdict(list)
    for fault, following in zip(faults, [*faults[1:], None], strict=True):
        until = at(following) if following else at(fault) + LAST_SECONDS
        gaps = [
            at(second) - max(at(first), at(fault))
            for first, second in pairwise(commits)
            if at(second) > at(fault) and at(first) < until
        ]
        found[fault["victim"], fault["kind"]].append(max(gaps, default=math.inf))
    return dict(found)


def redis_away(entries: Sequence[Entry]) -> list[float]:
    """Seconds from each kill of Redis until another one answered in its place."""
    back = [at(entry) for entry in of(entries, "healed") if entry["target"] == "redis"]
    kills = [
        at(fault)
        for fault in of(entries, "fault")
        if (fault["victim"], fault["kind"]) == ("redis", "kill")
    ]
    return [next(moment for moment in back if moment > kill) - kill for kill in kills]


def merged(many: Iterable[dict[Struck, list[float]]]) -> dict[Struck, list[float]]:
    """The recoveries of several journals together."""
    together: dict[Struck, list[float]] = defaultdict(list)
    for one in many:
        for struck, seconds in one.items():
            together[struck] += seconds
    return dict(together)


def summary(seconds: Sequence[float]) -> Summary:
    """Median, 95th percentile (nearest rank) and worst."""
    ordered = sorted(seconds)
    return Summary(
        faults=len(ordered),
        median=statistics.median(ordered),
        percentile_95=ordered[math.ceil(0.95 * len(ordered)) - 1],
        worst=ordered[-1],
    )


def longest_gap(entries: Sequence[Entry]) -> float:
    """The longest time between two commits of one run."""
    times: dict[str, list[float]] = defaultdict(list)
    for commit in of(entries, "commit"):
        times[commit["run_id"]].append(at(commit))
    gaps = (b - a for moments in times.values() for a, b in pairwise(sorted(moments)))
    return max(gaps, default=0.0)
