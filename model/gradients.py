"""Every image's loss gradient for every parameter, a microbatch at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model import network as networks
from model.config import NetworkConfig, Unfolding
from model.images import normalised, one_hot, padded
from model.loss import binary_cross_entropy
from model.parameters import Arrays
from model.runtime import tf
from model.unfold import unfold_fully

#: Unfolded images kept for one network of the full unfolding, in bytes (the seed's 50 images).
UNFOLDED_CACHE_BYTES = 512 * 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class MicrobatchResult:
    """What one microbatch's computation gives; padding is already dropped."""

    gradients: Arrays  #: per parameter, (images, *shape) float32
    losses: NDArray[np.float32]  #: (images,)
    gradient_norms: NDArray[np.float32]  #: (images,) Euclidean norm over all parameters
    predictions: NDArray[np.int32]  #: (images,) the class of the largest logit


#: (parameters, images uint8 (n, side, side), labels (n,)) → result, for n up to a microbatch.
Engine = Callable[[Arrays, NDArray[np.uint8], NDArray[np.integer]], MicrobatchResult]


@functools.lru_cache(maxsize=4)
def engine(network: NetworkConfig) -> Engine:
    """The function that computes this network's microbatches; compiled at its first call."""
    names = list(network.shapes)
    build = _full_engine if network.unfolding is Unfolding.FULL else _layerwise_engine
    compute = build(network)

    def compute_microbatch(
        parameters: Arrays, images: NDArray[np.uint8], labels: NDArray[np.integer]
    ) -> MicrobatchResult:
        truth = one_hot(labels, network.class_count)
        gradients, losses, norms, predictions = compute(
            normalised(images), truth, [parameters[name] for name in names]
        )
        return MicrobatchResult(
            gradients=dict(zip(names, gradients, strict=True)),
            losses=losses,
            gradient_norms=norms,
            predictions=predictions,
        )

    return compute_microbatch


def warm_up(network: NetworkConfig) -> None:
    """Compile this network's microbatch function, so that the first real call does not have to."""
    blank = np.zeros((1, network.image_side, network.image_side), np.uint8)
    parameters: Arrays = {
        name: np.zeros(shape, np.float32) for name, shape in network.shapes.items()
    }
    engine(network)(parameters, blank, np.zeros(1, np.int64))


def _layerwise_engine(network: NetworkConfig) -> Callable[..., Any]:
    compiled = tf.function(_layerwise_microbatch, jit_compile=True, autograph=False)
    size = network.microbatch_size

    def compute(images: Any, truth: Any, parameters: list[Any]) -> Any:
        count = len(images)
        arguments = [tf.constant(value) for value in parameters]
        results = compiled(padded(images, size), padded(truth, size), *arguments)
        gradients, *rest = tf.nest.map_structure(lambda tensor: tensor.numpy()[:count], results)
        return gradients, *rest

    return compute


def _layerwise_microbatch(images: Any, truth: Any, *parameters: Any) -> Any:
    *convolutions, dense = parameters
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        forward = networks.layerwise(images, convolutions, dense, tape)
        losses = binary_cross_entropy(forward.logits, truth)
    slopes = tape.gradient(losses, [*forward.preactivations, forward.logits])
    gradients = [
        tf.reshape(tf.einsum("npf,npk->nfk", slope, unfolded), (-1, *filters.shape))
        for slope, unfolded, filters in zip(slopes, forward.patches, convolutions, strict=False)
    ]
    dense_gradient = tf.einsum("nc,npf->ncfp", slopes[-1], forward.activation)
    gradients.append(tf.reshape(dense_gradient, (-1, *dense.shape)))
    return gradients, losses, _norms(gradients), _predictions(forward.logits)


def _full_engine(network: NetworkConfig) -> Callable[..., Any]:
    traced = tf.function(_full_image, autograph=False)
    kept = max(1, UNFOLDED_CACHE_BYTES // network.unfolded_bytes)

    @functools.lru_cache(maxsize=kept)
    def unfolded(pixels: bytes) -> Any:
        image = np.frombuffer(pixels, np.float32).reshape(network.image_side, network.image_side)
        return tf.constant(unfold_fully(image, network.kernel_sizes))

    def compute(images: Any, truth: Any, parameters: list[Any]) -> Any:
        arguments = [tf.constant(value) for value in parameters]
        rows = [
            traced(unfolded(image.tobytes()), truth[[row]], *arguments)
            for row, image in enumerate(images)
        ]
        gradients, *rest = tf.nest.map_structure(
            lambda *tensors: np.concatenate([tensor.numpy() for tensor in tensors]), *rows
        )
        return gradients, *rest

    return compute


def _full_image(unfolded: Any, truth: Any, *parameters: Any) -> Any:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(parameters)
        logits = networks.full(unfolded, list(parameters[:-1]), parameters[-1])
        losses = binary_cross_entropy(logits, truth)
    gradients = [tf.expand_dims(slope, 0) for slope in tape.gradient(losses, parameters)]
    return gradients, losses, _norms(gradients), _predictions(logits)


def _norms(gradients: list[Any]) -> Any:
    squares = [tf.reduce_sum(tf.square(g), axis=range(1, len(g.shape))) for g in gradients]
    return tf.sqrt(tf.add_n(squares))


def _predictions(logits: Any) -> Any:
    return tf.argmax(logits, axis=-1, output_type=tf.int32)
