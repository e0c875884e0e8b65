"""Microbatches grouped into shards. Decides who computes what, never what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from model.images import Microbatch

#: A worker is given this many shards in an iteration where each would still hold as many
#: microbatches: small enough to level out slow workers, large enough to be worth a message.
SHARDS_PER_WORKER = 4
SMALLEST_SPLIT_SHARD = 4

#: A worker should not be busy with one shard for longer, in seconds.
LONGEST_SHARD_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """The work of one Celery task."""

    index: int  #: place among the iteration's shards
    microbatches: tuple[Microbatch, ...]

    @property
    def images(self) -> list[int]:
        """Numbers of its images in the run's data."""
        return [image for microbatch in self.microbatches for image in microbatch.images]


def shard_count(
    wanted: int | None, microbatches: int, workers: int, service_seconds: float | None = None
) -> int:
    """How many shards to cut: as wanted, else so that every live worker has something to do.

    A microbatch's measured `service_seconds` keep shards short, whatever the number of workers:
    little is lost with a worker, and other runs do not wait long.
    """
    if wanted is None:
        each = microbatches // (max(workers, 1) * SMALLEST_SPLIT_SHARD)
        wanted = max(workers, 1) * min(max(each, 1), SHARDS_PER_WORKER)
        wanted = max(wanted, int(microbatches * (service_seconds or 0.0) / LONGEST_SHARD_SECONDS))
    return min(wanted, microbatches)


def split(microbatches: Sequence[Microbatch], count: int) -> list[Shard]:
    """`count` shards of neighbours, whose lengths differ by one microbatch at most."""
    bounds = [len(microbatches) * index // count for index in range(count + 1)]
    return [
        Shard(index=index, microbatches=tuple(microbatches[first:end]))
        for index, (first, end) in enumerate(pairwise(bounds))
    ]
