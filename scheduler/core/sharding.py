"""Microbatches grouped into shards. Decides who computes what, never what comes out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tapeworks.scheduler.core.pace import Pace

#: A worker is given so many shards in an iteration while nobody knows how fast the workers are.
FIRST_SHARDS_PER_WORKER = 2

#: One is enough while the slowest takes no more than so many times as long as the fastest: smaller
#: shards would level out less than they cost.
EVEN_SPREAD = 1.25

#: So many level it out where the workers' times differ more.
MOST_SHARDS_PER_WORKER = 4

#: The smallest shards that are cut for that: each is worth its message.
SMALLEST_SPLIT_SHARD = 4  #: in microbatches
SHORTEST_SPLIT_SECONDS = 0.01

#: A worker should not be busy with one shard for much longer, in seconds.
LONGEST_SHARD_SECONDS = 1.0

#: Share of a shard by which its ends may be moved to where an answer holds fewer sums.
MOVED_SHARE = 1 / 64


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shard:
    """The work of one Celery task: neighbouring microbatches."""

    index: int  #: place among the iteration's shards
    first_microbatch: int  #: place of its first one among the iteration's
    microbatches: int  #: how many there are
    first_image: int  #: place of its first image in the image set
    images: NDArray[np.int64]  #: numbers of its images in the run's data


def shard_count(wanted: int | None, microbatches: int, workers: Collection[str], pace: Pace) -> int:
    """Return the number of shards to cut: as wanted, else as many for each of these live workers.

    They are short, whatever the number of workers: little is lost with a worker, and other runs do
    not wait long.
    """
    if wanted is None:
        each = microbatches / max(len(workers), 1)
        wanted = max(len(workers), 1) * _shards_each(each, pace, pace.spread(workers))
    return min(wanted, microbatches)


def _shards_each(microbatches: float, pace: Pace, spread: float | None) -> int:
    """Return the number of shards that one worker's part of an iteration is cut into."""
    worth = microbatches / SMALLEST_SPLIT_SHARD
    seconds = 0.0
    if pace.service_seconds is not None:
        seconds = microbatches * pace.service_seconds
        worth = min(worth, seconds / SHORTEST_SPLIT_SECONDS)
    if spread is None:
        levelled = FIRST_SHARDS_PER_WORKER
    else:
        levelled = 1 if spread <= EVEN_SPREAD else MOST_SHARDS_PER_WORKER
    return max(min(levelled, int(worth)), round(seconds / LONGEST_SHARD_SECONDS), 1)


def split(images: NDArray[np.int64], microbatch_size: int, count: int) -> list[Shard]:
    """The image set as `count` shards, whose lengths differ by what their ends are rounded."""
    microbatches = -(-len(images) // microbatch_size)
    length = microbatches / count
    inner = [_round_bound(length * index, length * MOVED_SHARE) for index in range(1, count)]
    return [
        Shard(
            index=index,
            first_microbatch=first,
            microbatches=end - first,
            first_image=first * microbatch_size,
            images=images[first * microbatch_size : end * microbatch_size],
        )
        for index, (first, end) in enumerate(pairwise([0, *inner, microbatches]))
    ]


def _round_bound(bound: float, most: float) -> int:
    """Return the next multiple of the largest power of two that is no further away than that.

    The blocks beside such a bound are large, so that an answer has few of them. At least it is
    rounded to a whole number.
    """
    block = 1
    while abs(_multiple(bound, 2 * block) - bound) <= most:
        block *= 2
    return _multiple(bound, block)


def _multiple(number: float, of: int) -> int:
    return round(number / of) * of
