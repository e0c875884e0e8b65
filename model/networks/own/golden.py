"""A network as users write them, whose bits tell one kind of machine from another."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapeworks.model.engine.gradients import engine
from tapeworks.model.networks.own.allowed import allow
from tapeworks.model.networks.own.spec import Backward, OwnNetwork
from tapeworks.model.networks.spec import ArrayKind, GradientForm
from tapeworks.model.parameters import Arrays, digest, to_bytes

#: The usual operations: convolution, pooling, normalisation, products, exponentials.
SOURCE = """
import tensorflow as tf


def parameters(seed):
    return {}


def logits(parameters, images):
    maps = tf.nn.conv2d(images, parameters["filters"], 1, "SAME")
    mean, variance = tf.nn.moments(maps, [1, 2], keepdims=True)
    maps = tf.nn.relu((maps - mean) * tf.math.rsqrt(variance + 1e-5) + parameters["bias"])
    features = tf.reshape(tf.nn.max_pool2d(maps, 2, 2, "VALID"), (images.shape[0], -1))
    hidden = tf.tanh(features @ parameters["hidden"])
    return hidden @ parameters["output"]


def losses(parameters, images, labels):
    found = logits(parameters, images)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=found)
"""

_ARRAYS = {"filters": (3, 3, 3, 8), "bias": (8,), "hidden": (288, 16), "output": (16, 4)}
_IMAGES, _SHAPE, _CLASSES = 11, (12, 12, 3), 4


def golden_bits() -> str:
    """Digest of the sums of fixed images' gradients, of their losses and predictions."""
    network = OwnNetwork(
        source_digest=allow(SOURCE),
        arrays=tuple(_ARRAYS.items()),
        input_shape=_SHAPE,
        input_kind=ArrayKind.BYTES,
        target_shape=(),
        target_kind=ArrayKind.BYTES,
        has_logits=True,
        backward=Backward.MICROBATCH,
        operations=0,
        class_count=_CLASSES,
        microbatch_size=8,
    )
    source = np.random.PCG64(0)
    parameters: Arrays = {name: _draw(source, shape) for name, shape in _ARRAYS.items()}
    raw = source.random_raw(_IMAGES * int(np.prod(_SHAPE))) >> np.uint64(56)
    images = raw.astype(np.uint8).reshape(_IMAGES, *_SHAPE)
    labels = (np.arange(_IMAGES) % _CLASSES).astype(np.uint8)
    result = engine(network)(parameters, images, labels, GradientForm.SUMMED)
    return digest(to_bytes(result.gradients | result.values))


def _draw(source: np.random.PCG64, shape: tuple[int, ...]) -> Any:
    raw = source.random_raw(int(np.prod(shape))) >> np.uint64(40)
    return ((raw.astype(np.float64) * 2.0**-23 - 1) * 0.3).astype(np.float32).reshape(shape)
