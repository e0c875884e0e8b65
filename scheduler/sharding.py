"""Microbatches grouped into shards. Decides who computes what, never what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

#: A worker is given this many shards in an iteration where each would still hold as many
#: microbatches: small enough to level out slow workers, large enough to be worth a message.
SHARDS_PER_WORKER = 4
SMALLEST_SPLIT_SHARD = 4

#: A worker should not be busy with one shard for longer, in seconds.
LONGEST_SHARD_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shard:
    """The work of one Celery task: neighbouring microbatches."""

    index: int  #: place among the iteration's shards
    first_microbatch: int  #: place of its first one among the iteration's
    microbatches: int  #: how many there are
    first_image: int  #: place of its first image in the image set
    images: NDArray[np.int64]  #: numbers of its images in the run's data


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


def split(images: NDArray[np.int64], microbatch_size: int, count: int) -> list[Shard]:
    """The image set as `count` shards, whose lengths differ by one microbatch at most."""
    microbatches = -(-len(images) // microbatch_size)
    bounds = [microbatches * index // count for index in range(count + 1)]
    return [
        Shard(
            index=index,
            first_microbatch=first,
            microbatches=end - first,
            first_image=first * microbatch_size,
            images=images[first * microbatch_size : end * microbatch_size],
        )
        for index, (first, end) in enumerate(pairwise(bounds))
    ]
