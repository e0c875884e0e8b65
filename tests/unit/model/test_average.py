"""Sums and means: the order of addition, the single rounding, and both gradient forms."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from tapeworks.model.parameters import Arrays, to_bytes
from tapeworks.model.reduction import (
    Reduction,
    block_sums,
    global_norm,
    mean_gradient,
    microbatch_sums,
    total_loss,
)

#: In float64, added one after the other: ((2⁵³ + 1) + 1) − 2⁵³ = 0, as each 1 is rounded away.
#: Backwards they give 2, in pairs 1, exactly 2.
ORDER_MATTERS = [2.0**53, 1.0, 1.0, -(2.0**53)]


def rows(values: list[float]) -> dict[str, NDArray[np.float32]]:
    """One parameter of one entry: the kind of array that NumPy's own sum would add in pairs."""
    return {"conv_1": np.array(values, np.float32).reshape(-1, 1)}


def random_gradients(count: int, seed: int = 0) -> Arrays:
    """Gradients of very different sizes, so that every order of adding has other bits."""
    source = np.random.default_rng(seed)

    def array(*shape: int) -> NDArray[np.float32]:
        sizes = 2.0 ** source.integers(-40, 40, (count, *shape))
        return (source.standard_normal((count, *shape)) * sizes).astype(np.float32)

    return {"conv_1": array(2, 3, 3), "dense_1": array(2, 2, 4, 4)}


def added_one_by_one(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Python's own float addition, entry by entry, first row first."""
    columns = np.asarray(values, np.float64).reshape(len(values), -1).T.tolist()
    sums = []
    for column in columns:
        total = 0.0
        for value in column:
            total = total + value
        sums.append(total)
    return np.array(sums).reshape(values.shape[1:])


def test_a_microbatch_is_summed_in_image_order() -> None:
    assert microbatch_sums(rows(ORDER_MATTERS), 4)["conv_1"].tolist() == [[0.0]]
    assert microbatch_sums(rows(ORDER_MATTERS[::-1]), 4)["conv_1"].tolist() == [[2.0]]


def test_a_long_microbatch_is_not_summed_in_pairs() -> None:
    values = ORDER_MATTERS[:1] + [1.0] * 30 + ORDER_MATTERS[-1:]

    assert microbatch_sums(rows(values), 32)["conv_1"].tolist() == [[0.0]]


def test_the_last_microbatch_may_be_shorter() -> None:
    sums = microbatch_sums(rows([1.0, 2.0, 4.0, 8.0, 16.0]), 2)

    assert sums["conv_1"].tolist() == [[3.0], [12.0], [16.0]]


@pytest.mark.parametrize("shape", [(1,), (2, 1)])
def test_a_sum_begins_with_zero_whatever_the_shape(shape: tuple[int, ...]) -> None:
    sums = microbatch_sums({"conv_1": np.full((3, *shape), -0.0, np.float32)}, 2)

    assert sums["conv_1"].tolist() == np.zeros((2, *shape)).tolist()
    assert not np.signbit(sums["conv_1"]).any()


def test_losses_are_added_in_image_order() -> None:
    assert total_loss(np.array(ORDER_MATTERS)) == 0.0
    assert total_loss(np.array(ORDER_MATTERS[::-1])) == 2.0
    assert str(total_loss(np.array([-0.0], np.float32))) == "0.0"


def test_losses_have_the_bits_of_adding_one_by_one() -> None:
    losses = random_gradients(1000)["conv_1"].ravel()

    assert total_loss(losses) == added_one_by_one(losses)


def test_float32_losses_are_added_in_float64() -> None:
    losses = np.array([2.0**24, 1.0, 1.0], np.float32)

    assert total_loss(losses) == 2.0**24 + 2.0


def test_a_microbatchs_sum_is_float64_and_loses_nothing_of_float32() -> None:
    sums = microbatch_sums(rows([2.0**24, 1.0, 1.0]), 3)

    assert sums["conv_1"].dtype == np.float64
    assert sums["conv_1"].tolist() == [[2.0**24 + 2.0]]


@pytest.mark.parametrize("seed", range(3))
def test_a_microbatchs_sum_has_the_bits_of_adding_one_by_one(seed: int) -> None:
    gradients = random_gradients(50, seed)

    sums = microbatch_sums(gradients, 50)

    for name, array in gradients.items():
        assert sums[name].tobytes() == added_one_by_one(array).tobytes()


def test_the_mean_is_rounded_to_float32_once() -> None:
    # 2²⁴ + 1 is no float32: rounding the sum before dividing by 5 would give 3355443.25.
    mean = mean_gradient({"conv_1": np.array([2.0**24 + 1.0])}, 5)["conv_1"]

    assert mean.dtype == np.float32
    assert mean.tolist() == [3355443.5]


@pytest.mark.parametrize("size", [1, 7, 8, 50])
def test_the_mean_is_the_exact_mean_rounded(size: int) -> None:
    source = np.random.default_rng(1)
    gradients: Arrays = {"conv_1": source.standard_normal((50, 5, 3, 3)).astype(np.float32)}

    reduction = Reduction()
    reduction.add(0, -(-50 // size), block_sums(gradients, 0, size))
    mean = mean_gradient(reduction.total(-(-50 // size)), 50)["conv_1"]

    columns = gradients["conv_1"].reshape(50, -1).T.tolist()
    for computed, column in zip(mean.ravel().tolist(), columns, strict=True):
        exact = sum(map(Fraction, column), Fraction(0)) / 50
        assert computed == float(np.float32(float(exact)))
        assert computed == pytest.approx(math.fsum(column) / 50, rel=2**-24)


def test_averaging_changes_nothing_that_it_was_given() -> None:
    gradients = random_gradients(4)
    sums = microbatch_sums(gradients, 2)
    before = to_bytes(gradients), to_bytes(sums)

    mean_gradient(sums, 4)

    assert (to_bytes(gradients), to_bytes(sums)) == before


def test_the_global_norm_is_taken_over_all_parameters_together() -> None:
    gradient: Arrays = {
        "conv_1": np.array([[3.0], [4.0]], np.float32),
        "dense_1": np.array([12.0], np.float32),
    }

    assert global_norm(gradient) == 13.0
    assert global_norm({}) == 0.0


def test_the_squares_of_the_global_norm_are_added_one_by_one() -> None:
    roots = [2.0**27, 1.0, 1.0]  # after 2⁵⁴ each 1 is rounded away; together they would stay
    gradient: Arrays = {str(place): np.array([root]) for place, root in enumerate(roots)}

    assert global_norm(gradient) ** 2 == 2.0**54


def test_the_global_norm_does_not_overflow_float32() -> None:
    assert global_norm({"conv_1": np.array([3e30, 4e30], np.float32)}) == pytest.approx(5e30)
