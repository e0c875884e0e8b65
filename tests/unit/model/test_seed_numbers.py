"""The results of the seed's own program for ten images and five iterations, in both unfoldings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from tapeworks.model.config import RunConfig
from tapeworks.model.engine.gradients import Engine
from tapeworks.model.networks.builtin.spec import BuiltinNetwork, Unfolding
from tapeworks.model.parameters import Arrays, assign
from tapeworks.model.reduction import Reduction, block_sums, mean_gradient, total_loss
from tests.support.closeness import assert_close

EngineOf = Callable[[BuiltinNetwork], Engine]
Parameters = Mapping[str, NDArray[np.floating]]
Digits = tuple[NDArray[np.uint8], NDArray[np.int64]]


@pytest.mark.parametrize("unfolding", Unfolding)
def test_the_first_gradients_are_the_seeds(
    unfolding: Unfolding,
    seed_reference: Parameters,
    seed_digits: Digits,
    engine_of: EngineOf,
) -> None:
    config = RunConfig(images=10, unfolding=unfolding)
    names = list(config.built_in.shapes)
    parameters: Arrays = {name: seed_reference[f"init_{name}"] for name in names}
    images, labels = seed_digits

    result = engine_of(config.built_in)(parameters, images, labels)

    np.testing.assert_allclose(result.losses, seed_reference["per_image_losses0"], rtol=1e-5)
    for name in names:
        expected_gradients = seed_reference[f"grad0_{name}"]
        for computed, expected in zip(result.gradients[name], expected_gradients, strict=True):
            assert_close(computed, expected)


@pytest.mark.parametrize("unfolding", Unfolding)
def test_five_iterations_are_the_seeds(
    unfolding: Unfolding,
    seed_reference: Parameters,
    seed_digits: Digits,
    engine_of: EngineOf,
) -> None:
    config = RunConfig(images=10, iterations=5, unfolding=unfolding)
    compute = engine_of(config.built_in)
    parameters: Arrays = {name: seed_reference[f"init_{name}"] for name in config.built_in.shapes}
    images, labels = seed_digits

    losses = []
    for _ in range(config.iterations):
        result = compute(parameters, images, labels)
        losses.append(total_loss(result.losses))
        reduction = Reduction()
        reduction.add(0, 1, block_sums(result.gradients, 0, config.images))
        mean = mean_gradient(reduction.total(1), config.images)
        parameters = assign(parameters, mean, config.learning_rate)

    np.testing.assert_allclose(losses, seed_reference["losses"], rtol=1e-5)
    for name, last in parameters.items():
        first, expected = seed_reference[f"init_{name}"], seed_reference[f"last_{name}"]
        assert last.dtype == np.float32
        assert_close(last, expected, tolerance=1e-6)
        assert_close(last - first, expected - first, tolerance=1e-3)
