"""Logits and probabilities against the slow network and mathematics."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tapeworks.model.engine.inference import logits, probabilities
from tapeworks.model.errors import ParametersError
from tapeworks.model.images import normalise
from tapeworks.model.networks.builtin.spec import BuiltinNetwork, Unfolding
from tapeworks.model.parameters import initial
from tests import reference_numpy

#: Three images do not fill two microbatches.
NETWORK = BuiltinNetwork(
    image_side=9, kernel_sizes=(2, 3), filters=2, class_count=3, microbatch_size=2
)


@pytest.mark.parametrize("unfolding", list(Unfolding))
def test_logits_are_the_slow_networks_in_both_unfoldings(unfolding: Unfolding) -> None:
    network = NETWORK.model_copy(update={"unfolding": unfolding})
    parameters = initial(network, seed=3)
    images = np.random.default_rng(0).integers(0, 256, (3, 9, 9), np.uint8)
    expected = [reference_numpy.forward(parameters, image).logits for image in normalise(images)]

    found = logits(network, parameters, images)

    assert found.shape == (3, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_parameters_that_overflow_are_told() -> None:
    parameters = {name: np.full_like(array, 1e30) for name, array in initial(NETWORK, 3).items()}

    with pytest.raises(ParametersError, match="NaN or infinite"):
        logits(NETWORK, parameters, np.full((1, 9, 9), 255, np.uint8))


def test_probabilities_are_those_worked_out_by_hand() -> None:
    shares = probabilities(np.array([[0.0, math.log(3)], [1000.0, 1000.0], [-2000.0, 0.0]]))

    np.testing.assert_allclose(shares, [[0.25, 0.75], [0.5, 0.5], [0.0, 1.0]], rtol=1e-15)
