"""Gradients of a user's network, in every way to compute them."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from numpy.typing import NDArray

from tapeworks.model.engine.gradients import engine
from tapeworks.model.engine.inference import logits
from tapeworks.model.engine.results import EngineResult
from tapeworks.model.errors import NetworkNotAllowed, ParametersError
from tapeworks.model.networks.own.spec import Backward
from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import Arrays, to_bytes
from tapeworks.model.reduction import microbatch_sums
from tests.support.closeness import assert_close
from tests.support.own_networks import own_network
from tests.support.small_network import (
    slow_gradient,
    slow_logits,
    slow_loss,
    small_images,
    small_network,
    small_parameters,
)

SIZE, COUNT = 8, 19  #: two microbatches and three images

APART = [Backward.VECTORIZED, Backward.LOOP]
EVERY_WAY = pytest.mark.parametrize("backward", Backward)
EVERY_WAY_APART = pytest.mark.parametrize("backward", APART)


@functools.cache
def computed(
    backward: Backward, wanted: GradientForm = GradientForm.SUMMED, count: int = COUNT
) -> EngineResult:
    images, labels = small_images(COUNT)
    compute = engine(small_network(backward, SIZE))
    return compute(small_parameters(), images[:count], labels[:count], wanted)


@functools.cache
def expected() -> list[dict[str, NDArray[np.float64]]]:
    images, labels = small_images(COUNT)
    parameters = small_parameters()
    return [slow_gradient(parameters, *one) for one in zip(images, labels, strict=True)]


def bits(result: EngineResult) -> bytes:
    return to_bytes(result.gradients | result.values)


@EVERY_WAY
def test_losses_and_predictions_are_those_of_slow_loops(backward: Backward) -> None:
    images, labels = small_images(COUNT)
    result, parameters = computed(backward), small_parameters()

    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        assert result.losses[row] == pytest.approx(slow_loss(parameters, image, label), 1e-5)
        assert result.predictions[row] == np.argmax(slow_logits(parameters, image))
    assert result.losses.dtype == np.float32
    assert result.predictions.dtype == np.int32


@EVERY_WAY
def test_sums_are_those_of_finite_differences(backward: Backward) -> None:
    result = computed(backward)

    for name, sums in result.gradients.items():
        assert sums.dtype == np.float64
        for number in range(3):
            of_images = [one[name] for one in expected()[number * SIZE : (number + 1) * SIZE]]
            assert_close(sums[number], np.sum(of_images, axis=0), 2e-5)


@EVERY_WAY_APART
def test_an_images_gradient_is_that_of_finite_differences(backward: Backward) -> None:
    result = computed(backward, GradientForm.PER_IMAGE)

    for row, slopes in enumerate(expected()):
        for name, slope in slopes.items():
            assert_close(result.gradients[name][row], slope, 2e-5)
        norm = np.sqrt(sum(np.square(slope).sum() for slope in slopes.values()))
        assert result.gradient_norms[row] == pytest.approx(norm, 1e-5)


@EVERY_WAY_APART
def test_summed_gradients_have_the_bits_of_those_apart(backward: Backward) -> None:
    apart = computed(backward, GradientForm.PER_IMAGE)
    summed = computed(backward)

    assert to_bytes(summed.gradients) == to_bytes(microbatch_sums(apart.gradients, SIZE))
    assert to_bytes(summed.values) == to_bytes(apart.values)


def test_one_pass_gives_no_norms() -> None:
    assert set(computed(Backward.MICROBATCH).values) == {"losses", "predictions"}


@EVERY_WAY
def test_an_evaluation_gives_no_gradients(backward: Backward) -> None:
    result = computed(backward, GradientForm.NOTHING)

    assert result.gradients == {}
    assert set(result.values) == {"losses", "predictions"}
    np.testing.assert_allclose(result.losses, computed(backward).losses, rtol=1e-5)


@EVERY_WAY
def test_a_microbatch_has_the_same_bits_whoever_computes_it(backward: Backward) -> None:
    images, labels = small_images(COUNT)
    compute, parameters = engine(small_network(backward, SIZE)), small_parameters()
    whole = computed(backward)

    for number in range(3):
        part = slice(number * SIZE, (number + 1) * SIZE)
        alone = compute(parameters, images[part], labels[part], GradientForm.SUMMED)
        here = EngineResult(
            gradients={name: array[[number]] for name, array in whole.gradients.items()},
            values={name: array[part] for name, array in whole.values.items()},
        )
        assert bits(alone) == bits(here)


@EVERY_WAY
def test_images_that_fill_a_microbatch_up_count_nothing(backward: Backward) -> None:
    result = computed(backward, count=3)
    of_images = [slope["dense"] for slope in expected()[:3]]

    assert [len(array) for array in result.values.values()] == [3] * len(result.values)
    assert_close(result.gradients["dense"][0], np.sum(of_images, axis=0), 2e-5)


def test_many_parameters_are_computed_for_fewer_images_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = computed(Backward.LOOP, GradientForm.PER_IMAGE)
    network = small_network(Backward.LOOP, SIZE + 1)  # another one: nothing of it is compiled
    monkeypatch.setattr("tapeworks.model.networks.own.spec.CALL_BYTES", 4 * 267 * 2)
    images, labels = small_images(COUNT)

    parts = engine(network)(small_parameters(), images, labels, GradientForm.PER_IMAGE)

    assert network.images_at_once == 2
    assert bits(parts) == bits(whole)


def test_logits_are_those_of_slow_loops() -> None:
    images, _ = small_images(COUNT)
    parameters = small_parameters()

    found = logits(small_network(Backward.MICROBATCH, SIZE), parameters, images)

    slow = np.stack([slow_logits(parameters, image) for image in images])
    np.testing.assert_allclose(found, slow, rtol=1e-4, atol=1e-5)


def test_a_network_without_logits_has_none() -> None:
    network = own_network(has_logits=False)

    with pytest.raises(ParametersError, match="Expected a network that has logits"):
        logits(network, _ones(), np.zeros((1, 1), np.uint8))


def test_a_source_that_is_not_allowed_does_not_run() -> None:
    with pytest.raises(NetworkNotAllowed, match="0000"):
        engine(own_network())(_ones(), np.zeros((1, 1), np.uint8), np.zeros(1, np.uint8))


def _ones() -> Arrays:
    return {"all": np.ones(1, np.float32)}
