"""The network, from unfolded input to logits, in both unfoldings.

Gradients need every layer's pre-activations, so both functions watch what they are given a tape
for; `tf.maximum` rather than `tf.nn.relu` because, like the seed's, its gradient at 0 is 1.
"""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from typing import Any

from tapeworks.model.convolution import convolve
from tapeworks.model.runtime import tf


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerwisePass:
    """What the layerwise forward pass leaves behind for per-image gradients.

    The images stand side by side in every pixel, as in `tapeworks.model.convolution`.
    """

    maps: list[Any]  #: what each layer convolved, (side below, side below × images)
    preactivations: list[Any]  #: each layer's output before ReLU, (side, filters, side × images)
    activation: Any  #: the last layer's output after ReLU, (side, filters, side, images)
    features: Any  #: the same, image by image: (images, filters, side, side)
    logits: Any  #: (images, classes)


def layerwise(images: Any, convolutions: list[Any], dense: Any, tape: Any) -> LayerwisePass:
    """A whole microbatch (images, side, side) through the network, each layer over its own input.

    A filter is shared by all maps of the layer below, so a layer convolves their sum.
    """
    count, side = images.shape[:2]
    summed = tf.reshape(tf.transpose(images, (1, 2, 0)), (side, side * count))
    maps, preactivations = [], []
    for filters in convolutions:
        maps.append(summed)
        preactivations.append(convolve(summed, filters))
        tape.watch(preactivations[-1])
        activation = tf.maximum(preactivations[-1], 0.0)
        # One after the other: the order, and with it the bits, are the same on every machine.
        summed = functools.reduce(operator.add, tf.unstack(activation, axis=1))
    activation = tf.reshape(activation, (*activation.shape[:2], dense.shape[-1], count))
    features = tf.transpose(activation, (3, 1, 0, 2))
    by_class = tf.reshape(dense, (dense.shape[0], -1))
    logits = tf.matmul(tf.reshape(features, (count, -1)), by_class, transpose_b=True)
    tape.watch(logits)
    return LayerwisePass(
        maps=maps,
        preactivations=preactivations,
        activation=activation,
        features=features,
        logits=logits,
    )


def full(unfolded: Any, convolutions: list[Any], dense: Any) -> Any:
    """The seed's forward pass: one fully unfolded image to its logits, (1, classes)."""
    first, *others = convolutions
    axes = len(unfolded.shape)
    maps = _relu(tf.tensordot(first, unfolded, axes=[[1, 2], [axes - 2, axes - 1]]))
    for filters in others:
        repeated = tf.repeat(tf.expand_dims(filters, 1), maps.shape[0], axis=1)
        axes = len(maps.shape)
        products = tf.tensordot(repeated, maps, axes=[[1, 2, 3], [0, axes - 2, axes - 1]])
        maps = _relu(products)
    logits = tf.reduce_sum(dense * tf.expand_dims(maps, 0), axis=[1, 2, 3])
    return tf.expand_dims(logits, 0)


def _relu(maps: Any) -> Any:
    """`tf.maximum`, flat: its gradient is not implemented for more than eight axes."""
    return tf.reshape(tf.maximum(tf.reshape(maps, [-1]), 0.0), maps.shape)
