"""Every image's loss gradient for every parameter, a microbatch at a time."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model import network as networks
from model.config import NetworkConfig, Unfolding
from model.convolution import filter_gradients
from model.images import normalised, one_hot, padded
from model.loss import binary_cross_entropy
from model.parameters import Arrays
from model.runtime import tf
from model.unfold import unfold_fully

#: A microbatch is computed on a whole multiple of so many images, padded: an image's gradient then
#: has the same bits in a microbatch of any size.
LANES = 8

#: Compiled networks that one process holds. What one takes, some 40 MB, never comes back to the
#: system, nor do the seconds that it took: nothing is gained by dropping one for the next.
MOST_NETWORKS = 16

#: Unfolded images kept for one network of the full unfolding, in bytes (the seed's 50 images).
UNFOLDED_CACHE_BYTES = 512 * 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class MicrobatchResult:
    """The result of one microbatch's computation; padding is already dropped."""

    gradients: Arrays  #: per parameter, (images, *shape) float32
    losses: NDArray[np.float32]  #: (images,)
    gradient_norms: NDArray[np.float32]  #: (images,) Euclidean norm over all parameters
    predictions: NDArray[np.int32]  #: (images,) the class of the largest logit


#: (parameters, images uint8 (n, side, side), labels (n,)) → result, for n up to a microbatch.
Engine = Callable[[Arrays, NDArray[np.uint8], NDArray[np.integer]], MicrobatchResult]


@functools.lru_cache(maxsize=MOST_NETWORKS)
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


def compiled_networks() -> int:
    """Return how many networks this process has compiled, dropped ones included."""
    return engine.cache_info().misses


def warm_up(network: NetworkConfig) -> None:
    """Compile this network's microbatch function, so that the first real call does not have to."""
    blank = np.zeros((1, network.image_side, network.image_side), np.uint8)
    parameters: Arrays = {
        name: np.zeros(shape, np.float32) for name, shape in network.shapes.items()
    }
    engine(network)(parameters, blank, np.zeros(1, np.int64))


def _layerwise_engine(network: NetworkConfig) -> Callable[..., Any]:
    size, side = -(-network.microbatch_size // LANES) * LANES, network.image_side
    sizes = [math.prod(shape) for shape in network.shapes.values()]

    def microbatch(images: Any, truth: Any, flat: Any) -> Any:
        shaped = zip(tf.split(flat, sizes), network.shapes.values(), strict=True)
        return _layerwise_microbatch(images, truth, *(tf.reshape(*pair) for pair in shaped))

    # Three arguments, and called as it was traced: TensorFlow's own part of a call takes longer
    # than the computation of some images.
    function = tf.function(microbatch, jit_compile=True, autograph=False)
    inputs = [(size, side, side), (size, network.class_count), (sum(sizes),)]
    compiled = function.get_concrete_function(*map(tf.TensorSpec, inputs))

    def compute(images: Any, truth: Any, parameters: list[Any]) -> Any:
        count, flat = len(images), np.concatenate([array.ravel() for array in parameters])
        results = compiled(*map(tf.constant, (padded(images, size), padded(truth, size), flat)))
        gradients, *rest = tf.nest.map_structure(lambda tensor: tensor.numpy()[:count], results)
        return gradients, *rest

    return compute


def _layerwise_microbatch(images: Any, truth: Any, *parameters: Any) -> Any:
    *convolutions, dense = parameters
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        forward = networks.layerwise(images, convolutions, dense, tape)
        losses = binary_cross_entropy(forward.logits, truth)
    *slopes, of_logits = tape.gradient(losses, [*forward.preactivations, forward.logits])
    by_filter = [
        filter_gradients(slope, maps, filters.shape[1])
        for slope, maps, filters in zip(slopes, forward.maps, convolutions, strict=True)
    ]
    gradients = [tf.transpose(gradient, (3, 0, 1, 2)) for gradient in by_filter]
    factors = tf.reshape(of_logits, (*of_logits.shape, 1, 1, 1))
    gradients.append(factors * tf.expand_dims(forward.features, 1))
    # The dense array's gradient is an outer product: its norm is the product of the two norms.
    of_dense = _squares(of_logits, -1) * _squares(forward.activation, 0, 1, 2)
    norms = tf.sqrt(tf.add_n([*(_squares(each, 0, 1, 2) for each in by_filter), of_dense]))
    return gradients, losses, norms, _predictions(forward.logits)


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
    norm = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(slope)) for slope in gradients]))
    return gradients, losses, tf.expand_dims(norm, 0), _predictions(logits)


def _squares(array: Any, *axes: int) -> Any:
    """Sum of squares over these axes; the one that is left is the images'."""
    return tf.reduce_sum(tf.square(array), axis=axes)


def _predictions(logits: Any) -> Any:
    return tf.argmax(logits, axis=-1, output_type=tf.int32)
