"""What the seed's own program gave for ten images and five iterations, in both unfoldings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from model.average import mean_gradient, total_loss
from model.config import NetworkConfig, RunConfig, Unfolding
from model.gradients import Engine
from model.images import cut, image_set
from model.parameters import Arrays, assign
from model.reduction import Reduction, block_sums
from tests.support.closeness import assert_close

EngineOf = Callable[[NetworkConfig], Engine]
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
    names = list(config.network.shapes)
    parameters: Arrays = {name: seed_reference[f"init_{name}"] for name in names}
    images, labels = seed_digits

    results = [
        engine_of(config.network)(
            parameters, images[list(microbatch.images)], labels[list(microbatch.images)]
        )
        for microbatch in cut(image_set(config, 0), config.network.microbatch_size)
    ]

    losses = np.concatenate([result.losses for result in results])
    np.testing.assert_allclose(losses, seed_reference["per_image_losses0"], rtol=1e-5)
    for name in names:
        gradients = np.concatenate([result.gradients[name] for result in results])
        for computed, expected in zip(gradients, seed_reference[f"grad0_{name}"], strict=True):
            assert_close(computed, expected)


@pytest.mark.parametrize("unfolding", Unfolding)
def test_five_iterations_are_the_seeds(
    unfolding: Unfolding,
    seed_reference: Parameters,
    seed_digits: Digits,
    engine_of: EngineOf,
) -> None:
    config = RunConfig(images=10, iterations=5, unfolding=unfolding)
    compute = engine_of(config.network)
    parameters: Arrays = {name: seed_reference[f"init_{name}"] for name in config.network.shapes}
    images, labels = seed_digits

    losses = []
    for iteration in range(config.iterations):
        size, reduction, every_loss = config.network.microbatch_size, Reduction(), []
        for microbatch in cut(image_set(config, iteration), size):
            rows = list(microbatch.images)
            result = compute(parameters, images[rows], labels[rows])
            reduction.add(microbatch.index, 1, block_sums(result.gradients, microbatch.index, size))
            every_loss.append(result.losses)
        losses.append(total_loss(np.concatenate(every_loss)))
        total = reduction.total(len(every_loss))
        parameters = assign(parameters, mean_gradient(total, config.images), config.learning_rate)

    np.testing.assert_allclose(losses, seed_reference["losses"], rtol=1e-5)
    for name, last in parameters.items():
        first, expected = seed_reference[f"init_{name}"], seed_reference[f"last_{name}"]
        assert last.dtype == np.float32
        assert_close(last, expected, tolerance=1e-6)
        assert_close(last - first, expected - first, tolerance=1e-3)
