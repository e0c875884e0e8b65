"""Shards: every microbatch in exactly one, in order, and a sensible number of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scheduler.sharding import shard_count, split

MICROBATCHES = st.integers(1, 400)
SHARDS = st.integers(1, 60)
WORKERS = st.integers(0, 40)


@given(microbatches=MICROBATCHES, shards=SHARDS)
def test_shards_hold_all_microbatches_once_and_in_order(microbatches: int, shards: int) -> None:
    images = np.arange(microbatches * 8) + 1000
    parts = split(images, 8, shard_count(shards, microbatches, workers=2))
    assert [image for part in parts for image in part.images] == images.tolist()
    assert [part.index for part in parts] == list(range(len(parts)))
    found = [part.first_microbatch + place for part in parts for place in range(part.microbatches)]
    assert found == list(range(microbatches))
    assert all(part.first_image == 8 * part.first_microbatch for part in parts)


@given(microbatches=MICROBATCHES, shards=SHARDS)
def test_shards_differ_by_one_microbatch_at_most_and_none_is_empty(
    microbatches: int, shards: int
) -> None:
    count = shard_count(shards, microbatches, workers=2)
    lengths = {part.microbatches for part in split(np.arange(microbatches), 1, count)}
    assert min(lengths) >= 1
    assert max(lengths) - min(lengths) <= 1


@given(microbatches=MICROBATCHES, shards=SHARDS, workers=WORKERS)
def test_as_many_shards_are_cut_as_wanted_as_far_as_there_are_microbatches(
    microbatches: int, shards: int, workers: int
) -> None:
    assert shard_count(shards, microbatches, workers) == min(shards, microbatches)


@given(microbatches=MICROBATCHES, workers=WORKERS)
def test_unless_told_every_live_worker_gets_something_to_do(
    microbatches: int, workers: int
) -> None:
    count = shard_count(None, microbatches, workers)
    assert min(max(workers, 1), microbatches) <= count <= microbatches


def test_many_microbatches_give_each_worker_four_shards_and_few_give_one() -> None:
    assert shard_count(None, 7, workers=2) == 2
    assert shard_count(None, 16, workers=2) == 4
    assert shard_count(None, 1000, workers=2) == 8


def test_a_shard_lists_its_images_in_microbatch_order() -> None:
    second = split(np.arange(100, 150), 8, 3)[1]
    assert second.images.tolist() == list(range(116, 132))
    assert (second.first_microbatch, second.microbatches, second.first_image) == (2, 2, 16)


def test_a_last_microbatch_that_is_not_full_stays_as_it_is() -> None:
    last = split(np.arange(50), 8, 7)[-1]
    assert last.images.tolist() == [48, 49]
    assert last.microbatches == 1
