"""The network and its loss: from patches over logits to every image's loss.

Gradients need every layer's pre-activations, so both functions watch what they are given a tape
for; `tf.maximum` rather than `tf.nn.relu` because, like the seed's, its gradient at 0 is 1.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tapeworks.model.engine.runtime import tf
from tapeworks.model.networks.builtin.convolution import convolve


def binary_cross_entropy(logits: Any, truth: Any) -> Any:
    """Σ over classes of −(y·log p + (1−y)·log(1−p)), with p = softmax(logits).

    Both arguments are (images, classes); the result is one loss per image, (images,). With a
    class's margin m = its logit − log Σ exp(the others' logits), p = sigmoid(m): both logarithms
    are softplus(∓m), with all their digits however near 0 or 1 p comes. The largest logit is
    taken off first, so that the digits are not lost in the logits' own size.
    """
    largest = tf.reduce_max(logits, axis=-1, keepdims=True)
    logits = logits - tf.stop_gradient(largest)
    margins = logits - _logsumexp_of_others(logits)
    return tf.reduce_sum(
        tf.nn.sigmoid_cross_entropy_with_logits(labels=truth, logits=margins), axis=-1
    )


def _logsumexp_of_others(logits: Any) -> Any:
    """(images, classes): for each class, log Σ exp of the logits of all the others."""
    itself = tf.eye(logits.shape[-1], dtype=tf.bool)
    others = tf.where(itself, tf.constant(float("-inf"), logits.dtype), logits[:, tf.newaxis, :])
    return tf.reduce_logsumexp(others, axis=-1)


def unfold_fully(image: NDArray[np.float32], kernel_sizes: Sequence[int]) -> NDArray[np.float32]:
    """The seed's unfolding of one image, ahead of all layers at once.

    (27, 27) → (15, 15, 7, 7, 5, 5, 3, 3) for kernel sizes 3, 5, 7: two axes of positions, then the
    patch axes of the last layer down to those of the first.
    """
    unfolded: NDArray[np.float32] = image
    for size in kernel_sizes:
        windows = sliding_window_view(unfolded, (size, size), axis=(0, 1))
        unfolded = np.moveaxis(windows, (-2, -1), (2, 3))
    return np.ascontiguousarray(unfolded)


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerwisePass:
    """Results of the layerwise forward pass, kept for per-image gradients.

    The images stand side by side in every pixel, as in ``convolution`.
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
