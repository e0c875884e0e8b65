"""The built-in network's gradients, computed in either unfolding."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.engine.results import Compute, EngineResult, Request
from tapeworks.model.engine.runtime import tf
from tapeworks.model.images import normalise, one_hot
from tapeworks.model.networks.builtin import forward as networks
from tapeworks.model.networks.builtin.forward import binary_cross_entropy, unfold_fully
from tapeworks.model.networks.builtin.layerwise import CallResults, LayerwiseCalls
from tapeworks.model.networks.builtin.spec import BuiltinNetwork, Unfolding
from tapeworks.model.networks.spec import GRADIENT_NORMS, LOSSES, PREDICTIONS, GradientForm
from tapeworks.model.parameters import Arrays
from tapeworks.model.reduction import gradients_as_wanted

#: Unfolded images kept for one network of the full unfolding, in bytes (the seed's 50 images).
UNFOLDED_CACHE_BYTES = 512 * 2**20

#: Below this, TensorFlow may make a zero of a product, where NumPy keeps some of its digits.
SMALLEST_PRODUCT = 2.0**-125


def computation(network: BuiltinNetwork) -> Compute:
    """The compiled computation of all networks that differ from this one in microbatches alone."""
    return (_full if network.unfolding is Unfolding.FULL else _layerwise)(network)


def _layerwise(network: BuiltinNetwork) -> Compute:
    calls = LayerwiseCalls(network)

    def compute(request: Request) -> EngineResult:
        arrays = [request.parameters[name].ravel() for name in network.shapes]
        flat, count = tf.constant(np.concatenate(arrays)), len(request.images)
        size = request.microbatch_size if request.wanted is GradientForm.SUMMED else None
        gradients = _empty_gradients(network, request)
        values, results = np.empty((3, count), np.float32), None
        for part in _parts(count, size, calls):
            pixels, labels = request.images[part.images], request.labels[part.images]
            before = results if part.continues else None
            results = calls(flat, pixels, labels.astype(np.int32), size, before)
            values[:, part.images] = results.values[: len(pixels)].T
            if request.wanted is GradientForm.SUMMED:
                _put_sums(gradients, part.microbatches, results)
            elif request.wanted is GradientForm.PER_IMAGE:
                _put_gradients(gradients, part.images, results)
        losses, norms, predictions = values
        return EngineResult(
            gradients=gradients,
            values={
                LOSSES: losses,
                GRADIENT_NORMS: norms,
                PREDICTIONS: predictions.astype(np.int32),
            },
        )

    return compute


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """Images that are computed in one call."""

    images: slice
    microbatches: slice  #: those that they belong to, if these are summed
    continues: bool  #: the call before had earlier images of the same microbatch


def _parts(images: int, microbatch_size: int | None, calls: LayerwiseCalls) -> Iterator[_Part]:
    """Each has as many whole microbatches as a call has room for, or a part of one."""
    size = microbatch_size or calls.images
    together = size * max(min(calls.images // size, calls.sums), 1)
    for first in range(0, images, together):
        end = min(first + together, images)
        for start in range(first, end, calls.images):
            yield _Part(
                images=slice(start, min(start + calls.images, end)),
                microbatches=slice(first // size, -(-end // size)),
                continues=start > first,
            )


def _empty_gradients(network: BuiltinNetwork, request: Request) -> Arrays:
    rows, kind = len(request.images), "f4"
    if request.wanted is GradientForm.NOTHING:
        return {}
    if request.wanted is GradientForm.SUMMED:
        rows, kind = -(-rows // request.microbatch_size), "f8"
    return {name: np.empty((rows, *shape), kind) for name, shape in network.shapes.items()}


def _put_sums(sums: Arrays, rows: slice, results: CallResults) -> None:
    count = rows.stop - rows.start
    *convolutions, dense = sums.values()
    _put_filters(convolutions, rows, results.filter_sums[:count])
    dense[rows] = results.dense_sums[:count].reshape(dense[rows].shape)


def _put_gradients(gradients: Arrays, rows: slice, results: CallResults) -> None:
    count = rows.stop - rows.start
    *convolutions, dense = gradients.values()
    _put_filters(convolutions, rows, results.filters[:count])
    slopes, features = results.slopes[:count], results.features[:count]
    products = dense[rows].reshape(*slopes.shape, -1)
    _multiply(slopes[:, :, np.newaxis], features[:, np.newaxis, :], products)


def _put_filters(arrays: list[NDArray[Any]], rows: slice, filters: NDArray[Any]) -> None:
    first = 0
    for array in arrays:
        size = array[0].size
        array[rows] = filters[:, first : first + size].reshape(array[rows].shape)
        first += size


def _multiply(slopes: NDArray[Any], features: NDArray[Any], products: NDArray[Any]) -> None:
    """Multiply as TensorFlow does, which takes numbers below 2⁻¹²⁶ for zeros; NumPy is faster."""
    if _smallest(np.abs(slopes)) * _smallest(features) < SMALLEST_PRODUCT:
        products[:] = tf.multiply(slopes, features)
        return
    with np.errstate(over="ignore", invalid="ignore"):  # their norm is infinite or NaN, too
        np.multiply(slopes, features, out=products)


def _smallest(array: NDArray[np.float32]) -> float:
    return float(array.min(where=array > 0, initial=np.inf))


def _full(network: BuiltinNetwork) -> Compute:
    compute_images = _full_images(network)

    def compute(request: Request) -> EngineResult:
        truth = one_hot(request.labels, network.class_count)
        slopes, losses, norms, predictions = compute_images(
            normalise(request.images), truth, [request.parameters[name] for name in network.shapes]
        )
        gradients = dict(zip(network.shapes, slopes, strict=True))
        return EngineResult(
            gradients=gradients_as_wanted(gradients, request.wanted, request.microbatch_size),
            values={LOSSES: losses, GRADIENT_NORMS: norms, PREDICTIONS: predictions},
        )

    return compute


def _full_images(network: BuiltinNetwork) -> Callable[..., Any]:
    traced = tf.function(_full_image, autograph=False)
    kept = max(1, UNFOLDED_CACHE_BYTES // network.unfolded_bytes)

    @functools.lru_cache(maxsize=kept)
    def unfold_image(pixels: bytes) -> Any:
        image = np.frombuffer(pixels, np.float32).reshape(network.image_side, network.image_side)
        return tf.constant(unfold_fully(image, network.kernel_sizes))

    def compute(images: Any, truth: Any, parameters: list[Any]) -> Any:
        arguments = [tf.constant(value) for value in parameters]
        rows = [
            traced(unfold_image(image.tobytes()), truth[[row]], *arguments)
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
    predictions = tf.argmax(logits, axis=-1, output_type=tf.int32)
    return gradients, losses, tf.expand_dims(norm, 0), predictions
