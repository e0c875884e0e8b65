"""Per-image gradients of both unfoldings against the slow network and finite differences.

Two things hold of every comparison: float32 is given 1e-5 of an array's largest entry, and an
image whose float64 pre-activations come near a kink of ReLU is not compared (float32 may take the
other side of it, and would be right to).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from tapeworks.model.engine.gradients import Engine, engine, warm_up
from tapeworks.model.engine.results import EngineResult
from tapeworks.model.images import normalise, one_hot
from tapeworks.model.networks.builtin.spec import BuiltinNetwork, Unfolding
from tapeworks.model.parameters import Arrays, initial
from tests import reference_numpy
from tests.support.closeness import assert_close
from tests.support.microbatches import SMALL, bright_images, drawn_images, labels_of, row_bits

EngineOf = Callable[[BuiltinNetwork], Engine]
Parameters = Mapping[str, NDArray[np.floating]]
Digits = tuple[NDArray[np.uint8], NDArray[np.int64]]

SMALLEST = BuiltinNetwork(image_side=1, kernel_sizes=(1,), filters=1)


def with_unfolding(network: BuiltinNetwork, unfolding: Unfolding) -> BuiltinNetwork:
    return network.model_copy(update={"unfolding": unfolding})


def finite_differences(
    parameters: Parameters, image: NDArray[np.floating], truth: NDArray[np.floating]
) -> dict[str, NDArray[np.float64]]:
    """Central differences of the slow network's loss, parameter by parameter."""
    step = 1e-6
    moved = {name: array.astype(np.float64) for name, array in parameters.items()}
    slopes = {name: np.zeros(array.shape) for name, array in parameters.items()}
    for name, array in moved.items():
        for place in np.ndindex(*array.shape):
            here = array[place]
            array[place] = here + step
            above = reference_numpy.image_loss(moved, image, truth)
            array[place] = here - step
            below = reference_numpy.image_loss(moved, image, truth)
            array[place] = here
            slopes[name][place] = (above - below) / (2 * step)
    return slopes


def assert_is_the_slow_networks(
    result: EngineResult,
    parameters: Parameters,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    tolerance: float = 1e-5,
) -> None:
    class_count = len(parameters["dense_1"])
    for row, (image, label) in enumerate(zip(normalise(images), labels, strict=True)):
        truth = one_hot(np.array([label]), class_count)[0]
        passed = reference_numpy.forward(parameters, image)
        assert passed.distance_to_a_kink > 1e-6, "take another image"
        expected = reference_numpy.image_gradient(parameters, image, truth)
        assert set(result.gradients) == set(expected)
        for name, gradient in expected.items():
            assert_close(result.gradients[name][row], gradient, tolerance)
        assert result.losses[row] == pytest.approx(reference_numpy.loss(passed.logits, truth), 1e-5)
        assert result.predictions[row] == np.argmax(passed.logits)


# The slow network's own gradients


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Images of the small network with the finite differences of their losses."""

    parameters: Arrays
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    slopes: list[dict[str, NDArray[np.float64]]]  #: one per image


@pytest.fixture(scope="module")
def measured() -> Measured:
    parameters = initial(SMALL, seed=2)
    images, labels = bright_images(3, 9), labels_of(3, SMALL)
    slopes = []
    for image, truth in zip(normalise(images), one_hot(labels, 3), strict=True):
        assert reference_numpy.forward(parameters, image).distance_to_a_kink > 1e-4
        slopes.append(finite_differences(parameters, image, truth))
    return Measured(parameters=parameters, images=images, labels=labels, slopes=slopes)


def test_the_slow_networks_gradients_are_its_finite_differences(measured: Measured) -> None:
    truth = one_hot(measured.labels, 3)
    for row, image in enumerate(normalise(measured.images)):
        gradients = reference_numpy.image_gradient(measured.parameters, image, truth[row])
        for name, slope in measured.slopes[row].items():
            assert_close(gradients[name], slope, tolerance=1e-7)


def test_the_slow_networks_gradients_point_the_right_way_in_the_seeds_network() -> None:
    parameters = initial(BuiltinNetwork(), seed=2)
    image, truth = normalise(bright_images(1, 27))[0], np.array([0.0, 1.0])
    assert reference_numpy.forward(parameters, image).distance_to_a_kink > 1e-5
    gradients = reference_numpy.image_gradient(parameters, image, truth)
    source = np.random.default_rng(5)
    for _ in range(5):
        direction = {name: source.standard_normal(array.shape) for name, array in gradients.items()}
        above, below = (
            reference_numpy.image_loss(
                {name: array + step * direction[name] for name, array in parameters.items()},
                image,
                truth,
            )
            for step in (1e-8, -1e-8)
        )
        slope = sum(float(np.sum(gradients[name] * direction[name])) for name in gradients)
        assert (above - below) / 2e-8 == pytest.approx(slope, rel=1e-5)


# The engines against it


@pytest.mark.parametrize("unfolding", Unfolding)
def test_gradients_and_losses_are_the_slow_networks(
    network: BuiltinNetwork, unfolding: Unfolding, engine_of: EngineOf
) -> None:
    parameters = initial(network, seed=1)
    side = network.image_side
    plain = np.stack([np.full((side, side), grey, np.uint8) for grey in (0, 255)])
    images = np.concatenate([bright_images(2, side, seed=3), drawn_images(2, side, seed=3), plain])
    labels = labels_of(len(images), network)

    result = engine_of(with_unfolding(network, unfolding))(parameters, images, labels)

    # Fully unfolded, a filter's entry is a sum of up to a million float32 products.
    tolerance = 1e-4 if unfolding is Unfolding.FULL else 1e-5
    assert_is_the_slow_networks(result, parameters, images, labels, tolerance)


@pytest.mark.parametrize("unfolding", Unfolding)
def test_gradients_are_finite_differences(
    unfolding: Unfolding, measured: Measured, engine_of: EngineOf
) -> None:
    compute = engine_of(with_unfolding(SMALL, unfolding))

    result = compute(measured.parameters, measured.images, measured.labels)

    for row, slopes in enumerate(measured.slopes):
        for name, slope in slopes.items():
            assert_close(result.gradients[name][row], slope)


@pytest.mark.parametrize("unfolding", Unfolding)
def test_relu_passes_the_gradient_on_at_exactly_zero(
    unfolding: Unfolding, engine_of: EngineOf
) -> None:
    parameters: Arrays = {
        "conv_1": np.zeros((1, 1, 1), np.float32),
        "dense_1": np.array([1.0, -1.0], np.float32).reshape(2, 1, 1, 1),
    }
    white = np.full((1, 1, 1), 255, np.uint8)

    compute = engine_of(with_unfolding(SMALLEST, unfolding))
    gradients = compute(parameters, white, np.array([0])).gradients

    # Both logits are 0, so the loss pulls at them by −1 and 1; through the dense array, by −2.
    assert gradients["conv_1"].tolist() == [[[[-2.0]]]]
    assert gradients["dense_1"].tolist() == [[[[[0.0]]], [[[0.0]]]]]


@pytest.mark.parametrize("name", ["conv_1", "conv_2"])
@pytest.mark.parametrize("unfolding", Unfolding)
def test_a_filter_of_zeros_gets_the_gradient_that_the_seed_would_give_it(
    name: str, unfolding: Unfolding, engine_of: EngineOf
) -> None:
    parameters = initial(SMALL, seed=1)
    parameters[name] = parameters[name].copy()
    parameters[name][0] = 0
    images, labels = bright_images(2, 9), np.array([0, 2])

    result = engine_of(with_unfolding(SMALL, unfolding))(parameters, images, labels)

    assert np.abs(result.gradients[name][:, 0]).min() > 0
    assert_is_the_slow_networks(result, parameters, images, labels)


@pytest.mark.parametrize("unfolding", Unfolding)
def test_terms_that_cancel_to_zero_pass_the_gradient_on_too(
    unfolding: Unfolding, engine_of: EngineOf
) -> None:
    parameters = initial(SMALL, seed=1)
    parameters["conv_1"] = np.array([[[1, -1], [0.5, -0.5]], [[-2, 2], [1, -1]]], np.float32)
    images, labels = np.full((1, 9, 9), 255, np.uint8), np.array([1])

    result = engine_of(with_unfolding(SMALL, unfolding))(parameters, images, labels)

    assert np.abs(result.gradients["conv_1"]).min() > 0
    truth = one_hot(labels, 3)[0]
    expected = reference_numpy.image_gradient(parameters, normalise(images)[0], truth)
    for name, gradient in expected.items():
        assert_close(result.gradients[name][0], gradient)


@pytest.mark.parametrize("unfolding", Unfolding)
def test_a_black_image_costs_equal_logits_and_pulls_at_nothing(
    unfolding: Unfolding, engine_of: EngineOf
) -> None:
    black = np.zeros((1, 9, 9), np.uint8)

    result = engine_of(with_unfolding(SMALL, unfolding))(initial(SMALL, 0), black, np.array([1]))

    assert result.losses[0] == pytest.approx(np.log(3) + 2 * np.log(3 / 2), rel=1e-6)
    assert result.gradient_norms.tolist() == [0.0]
    assert all(not array.any() for array in result.gradients.values())


@pytest.mark.parametrize("unfolding", Unfolding)
def test_enormous_logits_leave_losses_and_gradients_finite(
    unfolding: Unfolding, engine_of: EngineOf
) -> None:
    parameters = initial(SMALL, seed=1)
    parameters["dense_1"] = parameters["dense_1"] * np.float32(1e5)
    images, labels = bright_images(3, 9), np.arange(3)

    result = engine_of(with_unfolding(SMALL, unfolding))(parameters, images, labels)

    spread = np.ptp(reference_numpy.forward(parameters, normalise(images)[0]).logits)
    assert spread > 1000
    assert result.losses.max() > 1000
    assert np.isfinite(result.losses).all()
    assert all(np.isfinite(array).all() for array in result.gradients.values())


@pytest.mark.parametrize("unfolding", Unfolding)
def test_a_result_has_a_row_per_image_and_no_padding(
    unfolding: Unfolding, engine_of: EngineOf
) -> None:
    parameters, images = initial(SMALL, seed=1), bright_images(5, 9)

    result = engine_of(with_unfolding(SMALL, unfolding))(parameters, images, labels_of(5, SMALL))

    assert {name: array.shape for name, array in result.gradients.items()} == {
        "conv_1": (5, 2, 2, 2),
        "conv_2": (5, 2, 3, 3),
        "dense_1": (5, 3, 2, 6, 6),
    }
    assert {array.dtype for array in result.gradients.values()} == {np.dtype(np.float32)}
    assert (result.losses.shape, result.losses.dtype) == ((5,), np.dtype(np.float32))
    assert (result.predictions.shape, result.predictions.dtype) == ((5,), np.dtype(np.int32))
    squares = sum(
        np.square(array.astype(np.float64)).reshape(5, -1).sum(axis=1)
        for array in result.gradients.values()
    )
    assert result.gradient_norms.dtype == np.float32
    np.testing.assert_allclose(result.gradient_norms, np.sqrt(squares), rtol=1e-6)


def test_the_order_of_given_parameters_does_not_matter(engine_of: EngineOf) -> None:
    parameters, images = initial(SMALL, seed=1), bright_images(2, 9)
    backwards = dict(reversed(parameters.items()))

    first = engine_of(SMALL)(parameters, images, np.array([0, 1]))
    second = engine_of(SMALL)(backwards, images, np.array([0, 1]))

    assert row_bits(first, 1) == row_bits(second, 1)
    assert list(second.gradients) == list(SMALL.shapes)


def test_a_network_has_one_engine_and_warming_it_up_needs_no_data() -> None:
    warm_up(SMALLEST)

    assert engine(SMALLEST) is engine(BuiltinNetwork(**SMALLEST.model_dump()))
