"""A small network as a user writes it, and the same one in NumPy, image by image in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.networks.own.allowed import allow
from tapeworks.model.networks.own.spec import Backward, OwnNetwork
from tapeworks.model.networks.spec import ArrayKind
from tapeworks.model.parameters import Arrays

#: A convolution, a look-up by the label's place, an option, softmax.
SOURCE = """
import numpy as np
import tensorflow as tf


def parameters(seed, *, steep=1.5):
    source = np.random.Generator(np.random.PCG64(seed))
    shapes = {"filters": (3, 3, 2, 4), "dense": (64, 3), "offset": (3,)}
    return {name: source.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def logits(parameters, images, *, steep=1.5):
    maps = tf.tanh(steep * tf.nn.conv2d(images, parameters["filters"], 1, "SAME"))
    features = tf.reshape(maps, (-1, 64))
    return features @ parameters["dense"]


def losses(parameters, images, labels, *, steep=1.5):
    found = logits(parameters, images, steep=steep)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, found)
    return entropy + tf.gather(parameters["offset"], labels) ** 2
"""

SHAPES = {"filters": (3, 3, 2, 4), "dense": (64, 3), "offset": (3,)}
STEEP = 1.5


def small_network(backward: Backward, microbatch_size: int = 8) -> OwnNetwork:
    """The network for images (4, 4, 2) of three classes; its source is allowed."""
    return OwnNetwork(
        source_digest=allow(SOURCE),
        arrays=tuple(SHAPES.items()),
        input_shape=(4, 4, 2),
        input_kind=ArrayKind.BYTES,
        target_shape=(),
        target_kind=ArrayKind.BYTES,
        has_logits=True,
        backward=backward,
        operations=1,
        options=(("steep", STEEP),),
        class_count=3,
        microbatch_size=microbatch_size,
    )


def small_parameters(seed: int = 0) -> Arrays:
    """Parameters of the network."""
    source = np.random.default_rng(seed)
    return {name: source.normal(0, 0.3, shape).astype(np.float32) for name, shape in SHAPES.items()}


def small_images(count: int, seed: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images and labels."""
    source = np.random.default_rng(seed)
    images = source.integers(0, 256, (count, 4, 4, 2)).astype(np.uint8)
    return images, source.integers(0, 3, count).astype(np.uint8)


def slow_logits(parameters: Arrays, image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The logits of one image, in loops."""
    padded = np.zeros((6, 6, 2))
    padded[1:5, 1:5] = image.astype(np.float64) / 255
    filters = parameters["filters"].astype(np.float64)
    maps = np.zeros((4, 4, 4))
    for row, column, number in np.ndindex(4, 4, 4):
        window = padded[row : row + 3, column : column + 3]
        maps[row, column, number] = np.tanh(STEEP * (window * filters[..., number]).sum())
    found: NDArray[np.float64] = maps.reshape(-1) @ parameters["dense"].astype(np.float64)
    return found


def slow_loss(parameters: Arrays, image: NDArray[np.uint8], label: int) -> float:
    """The loss of one image in float64."""
    logits = slow_logits(parameters, image)
    entropy = np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[label]
    return float(entropy + parameters["offset"].astype(np.float64)[label] ** 2)


def slow_gradient(
    parameters: Arrays, image: NDArray[np.uint8], label: int, step: float = 1e-6
) -> dict[str, NDArray[np.float64]]:
    """Central differences of `slow_loss`."""
    exact: dict[str, Any] = {name: array.astype(np.float64) for name, array in parameters.items()}
    gradient = {name: np.zeros(array.shape) for name, array in exact.items()}
    for name, array in exact.items():
        for place in np.ndindex(array.shape):
            before = array[place]
            ends = []
            for shifted in (before - step, before + step):
                array[place] = shifted
                ends.append(slow_loss(exact, image, label))
            array[place] = before
            gradient[name][place] = (ends[1] - ends[0]) / (2 * step)
    return gradient
