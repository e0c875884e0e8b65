"""The network, from unfolded input to logits, in both unfoldings.

Gradients need every layer's pre-activations, so both functions watch what they are given a tape
for; `tf.maximum` rather than `tf.nn.relu` because, like the seed's, its gradient at 0 is 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from model.runtime import tf
from model.unfold import patches


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerwisePass:
    """What the layerwise forward pass leaves behind for per-image gradients."""

    patches: list[Any]  #: each layer's input, (images, positions, kernel_size²)
    preactivations: list[Any]  #: each layer's output before ReLU, (images, positions, filters)
    activation: Any  #: the last layer's output after ReLU, (images, positions, filters)
    logits: Any  #: (images, classes)


def layerwise(images: Any, convolutions: list[Any], dense: Any, tape: Any) -> LayerwisePass:
    """A whole microbatch through the network, each layer unfolding its own input.

    A filter is shared by all maps of the layer below, so a layer convolves their sum.
    """
    maps, unfolded, preactivations = images, [], []
    for filters in convolutions:
        kernel_size = filters.shape[1]
        unfolded.append(patches(maps, kernel_size))
        flat = tf.reshape(filters, (filters.shape[0], kernel_size**2))
        preactivations.append(tf.einsum("npk,fk->npf", unfolded[-1], flat))
        tape.watch(preactivations[-1])
        activation = tf.maximum(preactivations[-1], 0.0)
        side = maps.shape[1] - kernel_size + 1
        maps = tf.reshape(tf.reduce_sum(activation, axis=-1), (images.shape[0], side, side))
    by_position = tf.reshape(dense, (*dense.shape[:2], -1))  # (classes, filters, positions)
    logits = tf.einsum("npf,cfp->nc", activation, by_position)
    tape.watch(logits)
    return LayerwisePass(
        patches=unfolded, preactivations=preactivations, activation=activation, logits=logits
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
