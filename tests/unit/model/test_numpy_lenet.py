"""The slow LeNet against mathematics, before anything is compared with it."""

from __future__ import annotations

import numpy as np

from tests.support import numpy_lenet

SHAPES = {
    "conv_1": (5, 5, 1, 6),
    "conv_2": (5, 5, 6, 16),
    "dense_1": (400, 120),
    "dense_2": (120, 84),
    "dense_3": (84, 10),
}

#: Far above the rounding of float64, and so small that hardly any ReLU changes sides.
STEP = 1e-6


def test_the_slow_lenets_gradients_are_its_finite_differences() -> None:
    source = np.random.default_rng(4)
    parameters = {
        name: array
        for layer, shape in SHAPES.items()
        for name, array in (
            (layer, source.normal(0, np.prod(shape[:-1]) ** -0.5, shape)),
            (f"{layer}_bias", source.normal(0, 0.1, shape[-1])),
        )
    }
    images, labels = source.uniform(0, 1, (1, 28, 28)), np.array([7])
    gradients = numpy_lenet.compute_gradients(parameters, images, labels)
    for name, array in parameters.items():
        largest = np.unravel_index(np.argmax(np.abs(gradients[name][0])), array.shape)
        losses = []
        for offset in (STEP, -STEP):
            moved = array.copy()
            moved[largest] += offset
            losses.append(numpy_lenet.compute_losses(parameters | {name: moved}, images, labels)[0])
        difference = (losses[0] - losses[1]) / (2 * STEP)
        np.testing.assert_allclose(gradients[name][0][largest], difference, rtol=1e-6, err_msg=name)
