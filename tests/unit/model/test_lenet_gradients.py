"""The gradients of `examples/lenet.py` on handwritten digits, against slow NumPy in float64."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from tapeworks.model.engine.gradients import engine
from tapeworks.model.engine.results import EngineResult
from tapeworks.model.networks.own.allowed import allow
from tapeworks.model.networks.own.module import load_module
from tapeworks.model.networks.own.spec import Backward, OwnNetwork
from tapeworks.model.networks.spec import ArrayKind, GradientForm
from tapeworks.model.parameters import Arrays, to_bytes
from tapeworks.model.reduction import microbatch_sums
from tests.support import numpy_lenet
from tests.support.closeness import assert_close

LENET = Path(__file__).resolve().parents[3] / "examples" / "lenet.py"

SIZE, COUNT = 4, 10  #: two microbatches and two images

#: Of an array's largest entry: float32 sums of some hundred products in each layer.
TOLERANCE = 1e-5

EVERY_WAY = pytest.mark.parametrize("backward", Backward)
EVERY_WAY_APART = pytest.mark.parametrize("backward", [Backward.VECTORIZED, Backward.LOOP])


def lenet(backward: Backward) -> OwnNetwork:
    digest = allow(LENET.read_text())
    arrays = load_module(digest).parameters(0)
    return OwnNetwork(
        source_digest=digest,
        arrays=tuple((name, array.shape) for name, array in arrays.items()),
        input_shape=(28, 28),
        input_kind=ArrayKind.BYTES,
        target_shape=(),
        target_kind=ArrayKind.BYTES,
        has_logits=True,
        backward=backward,
        operations=0,
        class_count=10,
        microbatch_size=SIZE,
    )


@functools.cache
def parameters() -> Arrays:
    """The example's own, but for biases that are not 0."""
    source = np.random.default_rng(5)
    arrays = load_module(allow(LENET.read_text())).parameters(3)
    return {
        name: source.normal(0, 0.1, array.shape).astype(np.float32) if "bias" in name else array
        for name, array in arrays.items()
    }


@functools.cache
def digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Scikit-learn's 8 × 8 pictures, each pixel three times as wide, with a margin of 2."""
    bunch = load_digits()
    levels = np.round(bunch.images[:COUNT] * (255 / 16)).astype(np.uint8)
    large = levels.repeat(3, axis=1).repeat(3, axis=2)
    return np.pad(large, ((0, 0), (2, 2), (2, 2))), bunch.target[:COUNT].astype(np.uint8)


@functools.cache
def computed(backward: Backward, wanted: GradientForm) -> EngineResult:
    return engine(lenet(backward))(parameters(), *digits(), wanted)


@functools.cache
def expected() -> numpy_lenet.Arrays:
    images, labels = digits()
    return numpy_lenet.compute_gradients(parameters(), images / 255, labels)


@EVERY_WAY
def test_losses_are_those_of_slow_loops(backward: Backward) -> None:
    images, labels = digits()

    losses = numpy_lenet.compute_losses(parameters(), images / 255, labels)

    found = computed(backward, GradientForm.SUMMED).losses
    np.testing.assert_allclose(found, losses, rtol=TOLERANCE)


@EVERY_WAY
def test_sums_of_microbatches_are_those_of_slow_loops(backward: Backward) -> None:
    result = computed(backward, GradientForm.SUMMED)

    assert result.gradients.keys() == expected().keys()
    for name, apart in expected().items():
        sums = [apart[first : first + SIZE].sum(axis=0) for first in range(0, COUNT, SIZE)]
        assert_close(result.gradients[name], np.stack(sums), TOLERANCE)


@EVERY_WAY_APART
def test_each_images_gradient_and_norm_are_those_of_slow_loops(backward: Backward) -> None:
    result = computed(backward, GradientForm.PER_IMAGE)

    squares = np.zeros(COUNT)
    for name, apart in expected().items():
        squares += np.square(apart).reshape(COUNT, -1).sum(axis=1)
        for found, wanted in zip(result.gradients[name], apart, strict=True):
            assert_close(found, wanted, TOLERANCE)
    np.testing.assert_allclose(result.gradient_norms, np.sqrt(squares), rtol=TOLERANCE)


@EVERY_WAY_APART
def test_summed_gradients_have_the_bits_of_those_apart(backward: Backward) -> None:
    apart = computed(backward, GradientForm.PER_IMAGE)
    summed = computed(backward, GradientForm.SUMMED)

    assert to_bytes(summed.gradients) == to_bytes(microbatch_sums(apart.gradients, SIZE))
    assert to_bytes(summed.values) == to_bytes(apart.values)
