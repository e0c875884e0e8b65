"""The points that are measured: so many workers, each busy with its shards for so long."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Images of a shard: the widest call of the engine.
SHARD_IMAGES = 64

#: Images of a microbatch: a shard has several, as in most runs.
MICROBATCH_IMAGES = 16

#: Iterations of a run at the least, so that there is a median of those behind the first ones.
FEWEST_ITERATIONS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """So many workers, so many milliseconds for a shard, so many shards for each worker."""

    workers: int
    shard_ms: int
    each: int = 1
    round_trip_ms: int = 0  #: added between the scheduler and Redis

    @property
    def name(self) -> str:
        """As in the line for programs."""
        added = f"_{self.round_trip_ms}ms" if self.round_trip_ms else ""
        return f"{self.workers}x{self.shard_ms}{added}"

    @property
    def shards(self) -> int:
        """Shards of an iteration."""
        return self.workers * self.each

    @property
    def images(self) -> int:
        """Images of an iteration."""
        return self.shards * SHARD_IMAGES

    @property
    def ideal_seconds(self) -> float:
        """An iteration in which every worker computes all the time."""
        return self.each * self.shard_ms / 1000

    def iterations(self, seconds: float) -> int:
        """Return how many take so many seconds at best, or enough for a median."""
        return max(FEWEST_ITERATIONS, math.ceil(seconds / self.ideal_seconds))

    def efficiency(self, seconds: float) -> float:
        """Return the part of an iteration in which workers compute, if it takes so long."""
        return self.ideal_seconds / seconds


#: Real worker processes.
PACED = (
    Point(workers=4, shard_ms=256),
    Point(workers=16, shard_ms=256),
    Point(workers=32, shard_ms=256),
    Point(workers=16, shard_ms=64),
    Point(workers=4, shard_ms=26, each=4),
)

#: Added round trips of the light fleets.
ROUND_TRIPS_MS = (0, 2)

#: One process that speaks for all. The first one shows, beside the third, what a shard costs.
FLEETS = tuple(
    Point(workers=workers, shard_ms=shard_ms, round_trip_ms=round_trip_ms)
    for workers, shard_ms in ((16, 100), (64, 256), (64, 100), (256, 1000))
    for round_trip_ms in ROUND_TRIPS_MS
)
