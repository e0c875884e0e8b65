"""The reduction tree against a recursive one: every sharding, every order of arrival, every bit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tapeworks.model.parameters import Arrays, from_bytes, to_bytes
from tapeworks.model.reduction import Block, Reduction, block_sums, blocks, microbatch_sums
from tests import reference_numpy

#: The most microbatches of the image sets here: more than a tree of six levels holds.
MOST = 70


def random_arrays(rows: int, seed: int, dtype: type[np.floating] = np.float32) -> Arrays:
    """Numbers of very different sizes, zeros of both signs too, so that every order has its bits.

    One of the parameters is a single number, which NumPy would add up in another way.
    """
    source = np.random.default_rng(seed)

    def array(*shape: int) -> NDArray[np.floating]:
        values = source.standard_normal((rows, *shape)) * 2.0 ** source.integers(-30, 30, shape)
        values[source.random((rows, *shape)) < 0.3] = -0.0
        return values.astype(dtype)

    return {"conv_1": array(1, 1, 1), "conv_2": array(2, 3, 3), "dense_1": array(2, 1, 4, 4)}


def expected_total(sums: Arrays) -> dict[str, bytes]:
    totals = {name: reference_numpy.image_set_sum(list(array)) for name, array in sums.items()}
    return bits(totals)


def bits(arrays: Arrays) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in arrays.items()}


def part(sums: Arrays, first: int, count: int) -> Arrays:
    """The sums of the blocks of a shard, each by the recursive definition."""
    every: Arrays = {}
    for name, array in sums.items():
        found = [
            reference_numpy.block_sum(list(array), block.first, 1 << block.level)
            for block in blocks(first, count)
        ]
        every[name] = np.stack([np.asarray(one) for one in found])
    return every


def total_of(microbatches: int, added: list[tuple[int, int, Arrays]]) -> Arrays:
    reduction = Reduction()
    for first, count, sums in added:
        reduction.add(first, count, sums)
    return reduction.total(microbatches)


@st.composite
def shardings(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """A number of microbatches, and shards of neighbours in the order in which they arrive."""
    microbatches = draw(st.integers(1, MOST))
    cuts = draw(st.sets(st.integers(1, microbatches - 1))) if microbatches > 1 else set()
    bounds = [0, *sorted(cuts), microbatches]
    shards = [(first, end - first) for first, end in pairwise(bounds)]
    return microbatches, draw(st.permutations(shards))


# Blocks


@pytest.mark.parametrize("first", range(MOST))
def test_the_blocks_of_neighbours_hold_each_of_them_once_and_are_the_fewest(first: int) -> None:
    for count in range(MOST):
        found = blocks(first, count)

        held = [range(block.first, block.first + (1 << block.level)) for block in found]
        assert [index for each in held for index in each] == list(range(first, first + count))
        assert not any(block.sibling in found for block in found)


def test_blocks_do_not_depend_on_where_the_image_set_ends() -> None:
    assert blocks(4, 1) == [Block(0, 4)]
    assert blocks(0, 7) == [Block(2, 0), Block(1, 2), Block(0, 6)]
    assert blocks(3, 6) == [Block(0, 3), Block(2, 1), Block(0, 8)]
    assert blocks(5, 0) == []


# Merging


@settings(deadline=None, max_examples=300)
@given(cut=shardings(), seed=st.integers(0, 99))
def test_any_sharding_in_any_order_of_arrival_has_the_bits_of_the_recursive_tree(
    cut: tuple[int, list[tuple[int, int]]], seed: int
) -> None:
    microbatches, shards = cut
    sums = random_arrays(microbatches, seed, np.float64)
    reduction = Reduction()

    for first, count in shards:
        reduction.add(first, count, part(sums, first, count))

    assert bits(reduction.total(microbatches)) == expected_total(sums)


@pytest.mark.parametrize("microbatches", range(1, MOST + 1))
def test_microbatches_one_by_one_have_the_bits_of_the_recursive_tree(microbatches: int) -> None:
    sums = random_arrays(microbatches, microbatches, np.float64)
    forwards, backwards = Reduction(), Reduction()

    for index in range(microbatches):
        forwards.add(index, 1, part(sums, index, 1))
        assert len(forwards.held) <= (index + 1).bit_length()
    for index in reversed(range(microbatches)):
        backwards.add(index, 1, part(sums, index, 1))

    assert bits(forwards.total(microbatches)) == expected_total(sums)
    assert bits(backwards.total(microbatches)) == expected_total(sums)


def test_another_order_has_other_bits() -> None:
    # In float64 (2⁵³ + 1) + 1 is 2⁵³, and 2⁵³ + (1 + 1) is not.
    sums: Arrays = {"conv_1": np.array([2.0**53, 0.0, 1.0, 1.0])}
    reduction = Reduction()

    reduction.add(0, 4, part(sums, 0, 4))

    assert reduction.total(4)["conv_1"] == 2.0**53 + 2.0
    assert reference_numpy.image_set_sum(list(sums["conv_1"])) == 2.0**53 + 2.0
    assert reference_numpy.microbatch_sum(list(sums["conv_1"])) == 2.0**53


def test_where_the_image_set_ends_a_left_half_stays_as_it_is() -> None:
    # Of five, the last one is added last, at the root; with zeros added on its way up, −0.0 is 0.0.
    sums: Arrays = {"conv_1": np.array([-0.0, -0.0, -0.0, -0.0, -0.0])}
    reduction = Reduction()

    reduction.add(4, 1, part(sums, 4, 1))
    reduction.add(0, 4, part(sums, 0, 4))

    assert np.signbit(reduction.total(5)["conv_1"])


def test_a_single_microbatch_is_its_own_total() -> None:
    reduction = Reduction()

    reduction.add(0, 1, {"conv_1": np.array([[-0.0, 2.5]])})

    assert bits(reduction.total(1)) == {"conv_1": np.array([-0.0, 2.5]).tobytes()}


@pytest.mark.parametrize(
    "added",
    [
        [],
        [(0, 2)],
        [(1, 2)],
        [(0, 1), (0, 1), (1, 2)],
        [(0, 2), (0, 1), (2, 1)],
        [(0, 2), (0, 2), (2, 1)],
        [(0, 1), (1, 1), (1, 2)],
    ],
)
def test_what_is_missing_or_was_added_twice_gives_no_total(added: list[tuple[int, int]]) -> None:
    sums = random_arrays(3, 0, np.float64)

    with pytest.raises(ValueError, match=r"Expected (the sums of 3 microbatches|each sum once)\."):
        total_of(3, [(first, count, part(sums, first, count)) for first, count in added])


def test_sums_of_parameters_in_another_order_and_read_only_are_added_alike() -> None:
    sums, reduction = random_arrays(3, 0, np.float64), Reduction()

    reduction.add(0, 2, from_bytes(to_bytes(part(sums, 0, 2))))
    reduction.add(2, 1, dict(reversed(part(sums, 2, 1).items())))

    assert bits(reduction.total(3)) == expected_total(sums)


def test_what_was_added_is_left_as_it_was() -> None:
    sums, reduction = random_arrays(4, 0, np.float64), Reduction()
    given = [part(sums, first, 2) for first in (0, 2)]
    before = [bits(arrays) for arrays in given]

    for first, arrays in zip((0, 2), given, strict=True):
        reduction.add(first, 2, arrays)
    reduction.total(4)

    assert [bits(arrays) for arrays in given] == before


# From images


@settings(deadline=None, max_examples=200)
@given(
    first=st.integers(0, MOST),
    images=st.integers(1, 60),
    size=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_block_sums_of_images_have_the_bits_of_the_recursive_tree(
    first: int, images: int, size: int, seed: int
) -> None:
    gradients = random_arrays(images, seed)
    before = bits(gradients)

    sums = block_sums(gradients, first, size)

    microbatches = -(-images // size)
    for name, array in gradients.items():
        earlier = [np.zeros(array.shape[1:])] * first
        own = [
            reference_numpy.microbatch_sum(list(array[place : place + size]))
            for place in range(0, images, size)
        ]
        expected = part({name: np.stack(earlier + own)}, first, microbatches)[name]
        assert sums[name].dtype == np.float64
        assert sums[name].shape == expected.shape
        assert sums[name].tobytes() == expected.tobytes()
    assert bits(gradients) == before


@settings(deadline=None, max_examples=100)
@given(
    first=st.integers(0, 40), counts=st.lists(st.integers(1, 20), min_size=1), seed=st.integers(0)
)
def test_a_shard_in_slices_gives_the_block_sums_of_the_whole(
    first: int, counts: list[int], seed: int
) -> None:
    gradients, reduction, place = random_arrays(3 * sum(counts), seed), Reduction(), 0

    for count in counts:
        rows = slice(3 * place, 3 * (place + count))
        piece = {name: array[rows] for name, array in gradients.items()}
        reduction.add(first + place, count, block_sums(piece, first + place, 3))
        place += count

    assert bits(reduction.sums()) == bits(block_sums(gradients, first, 3))
    assert reduction.sums()["dense_1"].shape == (len(blocks(first, place)), 2, 1, 4, 4)


def test_microbatches_sums_are_the_tree_s_leaves() -> None:
    gradients = random_arrays(5, 0)

    sums, leaves = microbatch_sums(gradients, 1), Reduction()
    for index in range(5):
        leaves.add(index, 1, {name: array[[index]] for name, array in sums.items()})
    whole = Reduction()
    whole.add(0, 5, block_sums(gradients, 0, 1))

    assert bits(leaves.total(5)) == bits(whole.total(5))
