"""Shards: every microbatch in exactly one, in order, and a sensible number of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapeworks.model.reduction import blocks
from tapeworks.scheduler.core.pace import Pace
from tapeworks.scheduler.core.sharding import (
    EVEN_SPREAD,
    FIRST_SHARDS_PER_WORKER,
    MOST_SHARDS_PER_WORKER,
    MOVED_SHARE,
    Shard,
    shard_count,
    split,
)

MICROBATCHES = st.integers(1, 2000)
SHARDS = st.integers(1, 60)
WORKERS = st.integers(0, 40)


def measured(*seconds: float) -> Pace:
    """Workers "0", "1" and so on took so long for a microbatch."""
    pace = Pace()
    for worker, each in enumerate(seconds):
        pace.learn(each, each, microbatches=1)
        pace.measure(str(worker), each, microbatches=1)
    return pace


def names(workers: int) -> list[str]:
    return [str(worker) for worker in range(workers)]


def lengths(microbatches: int, count: int) -> list[int]:
    return [part.microbatches for part in split(np.arange(microbatches), 1, count)]


@given(microbatches=MICROBATCHES, shards=SHARDS)
def test_shards_hold_all_microbatches_once_and_in_order(microbatches: int, shards: int) -> None:
    images = np.arange(microbatches * 8) + 1000
    parts = split(images, 8, min(shards, microbatches))
    assert [image for part in parts for image in part.images] == images.tolist()
    assert [part.index for part in parts] == list(range(len(parts)))
    found = [part.first_microbatch + place for part in parts for place in range(part.microbatches)]
    assert found == list(range(microbatches))
    assert all(part.first_image == 8 * part.first_microbatch for part in parts)


@given(microbatches=MICROBATCHES, shards=SHARDS)
def test_no_shard_is_empty_or_much_longer_than_the_mean(microbatches: int, shards: int) -> None:
    count = min(shards, microbatches)
    mean, found = microbatches / count, lengths(microbatches, count)
    assert min(found) >= 1
    assert max(abs(length - mean) for length in found) <= max(1, 2 * MOVED_SHARE * mean)


@given(microbatches=MICROBATCHES, shards=SHARDS)
def test_short_shards_differ_by_one_microbatch_at_most(microbatches: int, shards: int) -> None:
    count = min(max(shards, microbatches // 31), microbatches)
    found = lengths(microbatches, count)
    assert max(found) - min(found) <= 1


def bounds(parts: list[Shard]) -> list[int]:
    return [part.first_microbatch for part in parts][1:]


def sums(bounds: list[int]) -> int:
    """Return how many sums the answers of shards hold that begin and end there."""
    return sum(len(blocks(first, end - first)) for first, end in pairwise(bounds))


def test_shards_end_where_their_answers_hold_few_sums() -> None:
    found = bounds(split(np.arange(1024), 1, 7))
    anywhere = [1024 * index // 7 for index in range(1, 7)]
    assert sums([0, *found, 1024]) <= 0.75 * sums([0, *anywhere, 1024])


def test_a_bound_that_is_whole_already_stays() -> None:
    assert bounds(split(np.arange(3 * 25), 1, 3)) == [25, 50]
    assert bounds(split(np.arange(1024), 1, 64)) == list(range(16, 1024, 16))


@given(microbatches=MICROBATCHES, shards=SHARDS, workers=WORKERS)
def test_as_many_shards_are_cut_as_wanted_as_far_as_there_are_microbatches(
    microbatches: int, shards: int, workers: int
) -> None:
    wanted = shard_count(shards, microbatches, names(workers), Pace())
    assert wanted == min(shards, microbatches)


@given(microbatches=MICROBATCHES, workers=WORKERS, seconds=st.lists(st.floats(0, 1e4), max_size=40))
def test_unless_told_every_live_worker_gets_something_to_do(
    microbatches: int, workers: int, seconds: list[float]
) -> None:
    count = shard_count(None, microbatches, names(workers), measured(*seconds))
    assert min(max(workers, 1), microbatches) <= count <= microbatches


@pytest.mark.parametrize(
    ("seconds", "each"),
    [
        ([], FIRST_SHARDS_PER_WORKER),
        ([0.004], FIRST_SHARDS_PER_WORKER),  # of the other nothing is known
        ([0.004, 0.004], 1),
        ([0.004, 0.004 * EVEN_SPREAD], 1),
        ([0.004, 0.006], MOST_SHARDS_PER_WORKER),
        ([0.004, 0.004, 0.04], 1),  # the third is not there any more
    ],
)
def test_smaller_shards_are_cut_where_workers_are_not_known_to_be_as_fast(
    seconds: list[float], each: int
) -> None:
    assert shard_count(None, 100, ["0", "1"], measured(*seconds)) == 2 * each


def test_small_shards_are_worth_their_messages() -> None:
    assert shard_count(None, 4, ["0", "1"], Pace()) == 2
    assert shard_count(None, 15, ["0", "1"], Pace()) == 2
    assert shard_count(None, 16, ["0", "1"], Pace()) == 4
    uneven = measured(0.001, 0.002)  # 1.3 ms are expected
    found = [shard_count(None, 2 * each, ["0", "1"], uneven) for each in (10, 20, 30, 99)]
    assert found == [2, 4, 6, 8]


@pytest.mark.parametrize(
    ("microbatches", "each"), [(140, 1), (260, 1), (400, 2), (600, 3), (2000, 10)]
)
def test_no_worker_is_busy_with_one_shard_for_much_longer_than_a_second(
    microbatches: int, each: int
) -> None:
    assert shard_count(None, microbatches, ["0", "1"], measured(0.01, 0.01)) == 2 * each


def test_a_shard_lists_its_images_in_microbatch_order() -> None:
    second = split(np.arange(100, 150), 8, 3)[1]
    assert second.images.tolist() == list(range(116, 140))
    assert (second.first_microbatch, second.microbatches, second.first_image) == (2, 3, 16)


def test_a_last_microbatch_that_is_not_full_stays_as_it_is() -> None:
    last = split(np.arange(50), 8, 7)[-1]
    assert last.images.tolist() == [48, 49]
    assert last.microbatches == 1
