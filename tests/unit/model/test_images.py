"""Image sets, microbatches, and images as the network gets them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapeworks.model.config import RunConfig
from tapeworks.model.images import image_set, normalise, one_hot, pad
from tapeworks.storage.records import short_set

#: The first two passes over ten images, four per iteration, with the default seed.
PINNED = [[6, 4, 5, 1], [8, 3, 9, 2], [7, 0], [8, 0, 7, 3], [1, 2, 4, 6], [9, 5]]


@pytest.mark.parametrize("iteration", [0, 1, 49])
def test_every_iteration_takes_all_images_of_the_run_in_the_same_order(iteration: int) -> None:
    assert list(image_set(RunConfig(images=10), iteration)) == list(range(10))


@given(data=st.data(), images=st.integers(1, 60), seed=st.integers(0, 2**63 - 1))
def test_a_pass_has_every_image_once_and_its_last_set_what_is_left(
    data: st.DataObject, images: int, seed: int
) -> None:
    size = data.draw(st.integers(1, images))
    config = RunConfig(images=images, images_per_iteration=size, seed=seed)
    sets_of_a_pass = -(-images // size)

    for number in range(3):
        first = number * sets_of_a_pass
        sets = [image_set(config, first + place) for place in range(sets_of_a_pass)]
        assert sorted(image for images in sets for image in images) == list(range(images))
        assert {len(images) for images in sets[:-1]} <= {size}
        assert 1 <= len(sets[-1]) <= size
        for place, own in enumerate(sets):
            few = short_set(config.model_dump(), first + place)
            assert len(own) == (few or size)


def test_as_many_images_per_iteration_as_there_are_is_the_default() -> None:
    config = RunConfig(images=10, images_per_iteration=10)

    assert [list(image_set(config, iteration)) for iteration in (0, 7)] == [list(range(10))] * 2


def test_image_sets_are_the_same_everywhere() -> None:
    """Pinned: another order would be another run."""
    config = RunConfig(images=10, images_per_iteration=4, seed=10)

    assert [list(image_set(config, iteration)) for iteration in range(6)] == PINNED


def test_an_image_set_depends_on_seed_and_iteration_alone() -> None:
    config = RunConfig(images=1000, images_per_iteration=1000 // 3, iterations=1)
    later = image_set(config, 10**9)
    same = RunConfig(images=1000, images_per_iteration=1000 // 3, iterations=7, filters=2)

    assert list(image_set(same, 0)) == list(image_set(config, 0))
    assert list(image_set(config, 10**9)) == list(later)
    assert list(image_set(config, 0)) != list(image_set(config, 4))
    other = config.model_copy(update={"seed": 11})
    assert list(image_set(other, 0)) != list(image_set(config, 0))


def test_the_order_of_a_pass_shares_no_number_with_the_initial_parameters() -> None:
    """Both come from one seed; the pass's number is a key of its own, also for the first pass."""
    drawn = np.argsort(np.random.PCG64(10).random_raw(1000), kind="stable")

    order = image_set(RunConfig(images=1000, images_per_iteration=999, seed=10), 0)

    assert sum(order == drawn[:999]) < 10


def test_all_256_grey_levels_are_normalised_as_in_the_seed() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)

    images = normalise(levels)

    assert images.dtype == np.float32
    assert images.shape == (4, 8, 8)
    seeds = [(level / 255).astype("float32") for level in levels]
    assert images.tobytes() == np.array(seeds).tobytes()


def test_every_grey_level_is_the_float32_nearest_to_its_fraction() -> None:
    for level, value in enumerate(normalise(np.arange(256, dtype=np.uint8))):
        exact = Fraction(level, 255)
        error = abs(Fraction(float(value)) - exact)
        for other in (np.nextafter(value, np.float32(-1)), np.nextafter(value, np.float32(2))):
            assert error < abs(Fraction(float(other)) - exact)


def test_black_is_0_and_white_is_1() -> None:
    assert normalise(np.array([0, 255], np.uint8)).tolist() == [0.0, 1.0]


def test_padding_adds_rows_of_zeros_behind() -> None:
    rows = np.array([[1, 2], [3, 4]], np.float32)

    longer = pad(rows, 4)

    assert longer.dtype == np.float32
    assert longer.tolist() == [[1, 2], [3, 4], [0, 0], [0, 0]]
    assert pad(rows, 2).tolist() == rows.tolist()
    assert pad(np.ones((1, 3, 3), np.uint8), 2).tolist() == [[[1] * 3] * 3, [[0] * 3] * 3]


def test_more_rows_than_a_microbatch_are_refused() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        pad(np.zeros((3, 1), np.float32), 2)


def test_one_hot_rows_have_their_1_in_the_labels_column() -> None:
    truth = one_hot(np.array([1, 0, 2]), 3)

    assert truth.dtype == np.float32
    assert truth.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_a_three_is_left_and_a_six_is_right_as_in_the_seed() -> None:
    assert one_hot(np.array([0, 1]), 2).tolist() == [[1.0, 0.0], [0.0, 1.0]]
