"""Both unfoldings' forward passes against the slow network, and that against mathematics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.engine.runtime import tf
from tapeworks.model.networks.builtin import forward as networks
from tapeworks.model.networks.builtin.forward import unfold_fully
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.parameters import Arrays, initial
from tests import reference_numpy
from tests.support.closeness import assert_close


def bright_image(side: int, seed: int = 0) -> NDArray[np.float32]:
    """An image without a black pixel, so that no pre-activation is exactly 0."""
    return np.random.default_rng(seed).uniform(0.1, 1.0, (side, side)).astype(np.float32)


def convolutions(parameters: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
    return [array for name, array in parameters.items() if name != "dense_1"]


def layerwise(parameters: Arrays, images: NDArray[np.float32]) -> networks.LayerwisePass:
    """The compiled pass, its tensors as arrays."""

    @tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
    def compiled(images: Any, arrays: list[Any], dense: Any) -> dict[str, Any]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            passed = networks.layerwise(images, arrays, dense, tape)
        return {field.name: getattr(passed, field.name) for field in fields(passed)}

    arrays = [tf.constant(array) for array in convolutions(parameters)]
    passed = compiled(tf.constant(images), arrays, tf.constant(parameters["dense_1"]))
    return networks.LayerwisePass(**tf.nest.map_structure(lambda tensor: tensor.numpy(), passed))


def test_the_slow_network_agrees_with_a_sum_worked_out_by_hand() -> None:
    parameters = {
        "conv_1": np.array([[[1.0, -1.0], [2.0, 0.0]], [[0.0, 0.0], [0.0, -1.0]]]),
        "conv_2": np.array([[[3.0]], [[-1.0]]]),
        "dense_1": np.array([[[[1.0, 0.0]], [[5.0, 5.0]]], [[[0.5, -2.0]], [[5.0, 5.0]]]]),
    }
    image = np.array([[1.0, 4.0, 2.0], [3.0, 1.0, 1.0]])

    passed = reference_numpy.forward(parameters, image)

    # First filter: 1 − 4 + 2·3 = 3 and 4 − 2 + 2·1 = 4; the second gives −1 and −1, cut to 0.
    assert passed.preactivations[0].tolist() == [[[3.0, 4.0]], [[-1.0, -1.0]]]
    # Each filter of the second layer sees the sum of both maps: 3 + 0 and 4 + 0.
    assert passed.preactivations[1].tolist() == [[[9.0, 12.0]], [[-3.0, -4.0]]]
    assert passed.logits.tolist() == [9.0, 0.5 * 9.0 - 2.0 * 12.0]


def test_layerwise_logits_are_the_slow_networks(network: BuiltinNetwork) -> None:
    parameters = initial(network, seed=3)
    images = np.stack([bright_image(network.image_side, seed) for seed in range(2)])
    expected = [reference_numpy.forward(parameters, image).logits for image in images]

    logits = layerwise(parameters, images).logits

    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_fully_unfolded_logits_are_the_slow_networks(network: BuiltinNetwork) -> None:
    parameters = initial(network, seed=3)
    image = bright_image(network.image_side)
    expected = reference_numpy.forward(parameters, image).logits

    unfolded = tf.constant(unfold_fully(image, network.kernel_sizes))
    logits = networks.full(unfolded, convolutions(parameters), parameters["dense_1"]).numpy()

    assert logits.shape == (1, network.class_count)
    np.testing.assert_allclose(logits[0], expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_the_layerwise_pass_leaves_every_layer_behind(network: BuiltinNetwork) -> None:
    parameters = initial(network, seed=4)
    image = bright_image(network.image_side)
    expected = reference_numpy.forward(parameters, image)

    passed = layerwise(parameters, image[np.newaxis])

    assert len(passed.maps) == len(network.kernel_sizes)
    for layer, side in enumerate(network.sides):
        below = expected.inputs[layer].sum(axis=0)
        np.testing.assert_allclose(passed.maps[layer], below, rtol=1e-5, atol=1e-6)
        preactivations = passed.preactivations[layer].transpose(1, 0, 2)
        assert preactivations.shape == (network.filters, side, side)
        assert_close(preactivations, expected.preactivations[layer])
    assert_close(passed.activation[..., 0].transpose(1, 0, 2), expected.activation)
    assert_close(passed.features[0], expected.activation)


def test_an_images_logits_do_not_mix_with_its_neighbours() -> None:
    network = BuiltinNetwork(image_side=9, kernel_sizes=(2, 3), filters=2, class_count=3)
    parameters = initial(network, seed=3)
    images = np.stack([bright_image(9, 1), np.zeros((9, 9), np.float32), bright_image(9, 2)])

    logits = layerwise(parameters, images).logits

    assert logits[1].tolist() == [0.0, 0.0, 0.0]
    for row in (0, 2):
        alone = layerwise(parameters, images[row : row + 1]).logits[0]
        np.testing.assert_allclose(logits[row], alone, rtol=1e-5)
