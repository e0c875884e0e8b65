"""The layerwise unfolding's computation, compiled into one function for any number of images.

A call takes some hundred images at the most and computes them group by group, in a loop inside the
function: all groups have one width and run the same machine code, so an image's gradient has the
same bits wherever it stands and however many are computed with it. Sums of microbatches are made in
the same function, so that per-image gradients need not be written down where sums are wanted.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.engine.runtime import tf, xla
from tapeworks.model.images import pad
from tapeworks.model.networks.builtin import forward as networks
from tapeworks.model.networks.builtin.convolution import block_added, block_of, filter_gradients
from tapeworks.model.networks.builtin.forward import binary_cross_entropy
from tapeworks.model.networks.builtin.spec import BuiltinNetwork

#: Images that stand side by side; the last group is padded. They fill a register of 512 bits, and
#: their rows stay in the first-level cache.
GROUP_IMAGES = 16

#: Most images in a call, of which each costs some 170 µs of TensorFlow's own.
MOST_CALL_IMAGES = 128

#: Bytes that a call's results may take; larger networks have fewer images in a call.
CALL_BYTES = 16 * 2**20

#: The grey level that becomes 1. An argument of the compiled function: XLA would not divide by a
#: constant, but multiply by its rounded reciprocal.
WHITE = 255


class CallResults(NamedTuple):
    """Views of what a call leaves behind: a row per image, padding included, and sums."""

    filters: NDArray[np.float32]  #: gradients of all convolutions' filters, one behind the other
    features: NDArray[np.float32]  #: the last layer's activations
    slopes: NDArray[np.float32]  #: the loss's by the logits
    values: NDArray[np.float32]  #: (images, 3): loss, gradient norm, prediction
    filter_sums: NDArray[np.float64]  #: (microbatches, …): sums of `filters`
    dense_sums: NDArray[np.float64]  #: (microbatches, classes, features): likewise


class LayerwiseCalls:
    """The compiled function of one network."""

    def __init__(self, network: BuiltinNetwork) -> None:
        self._shapes, self._classes = list(network.shapes.values()), network.class_count
        self._sizes = [math.prod(shape) for shape in self._shapes]
        self._columns = sum(self._sizes[:-1]), self._sizes[-1] // self._classes, self._classes, 3
        #: Images that a call has room for, and sums.
        self.images = _call_images(sum(self._columns))
        self.sums = self.images // GROUP_IMAGES
        self._function = self._compile(network.image_side)
        self._nothing = tf.zeros(sum(self._sizes), tf.float64)

    def __call__(
        self,
        parameters: Any,
        images: NDArray[np.uint8],
        labels: NDArray[np.int32],
        microbatch_size: int | None = None,
        before: CallResults | None = None,
    ) -> CallResults:
        """Compute as many images as there is room for, or fewer.

        `parameters` is a tensor of all of them, one behind the other. With a `microbatch_size`
        sums are made, the first of which goes on with the first of the call `before`.
        """
        carried = self._nothing
        if before is not None:
            sums = before.filter_sums[0], before.dense_sums[0].ravel()
            carried = tf.constant(np.concatenate(sums))
        added = 0 if microbatch_size is None else len(images)
        results = self._function(
            tf.constant(pad(images, self.images)),
            tf.constant(pad(labels, self.images)),
            parameters,
            carried,
            tf.constant([len(images), added, microbatch_size or 1, WHITE]),
        )
        return CallResults(*map(np.asarray, results))

    def _compile(self, side: int) -> Any:
        inputs = [
            tf.TensorSpec((self.images, side, side), tf.uint8),
            tf.TensorSpec((self.images,), tf.int32),
            tf.TensorSpec((sum(self._sizes),)),
            tf.TensorSpec((sum(self._sizes),), tf.float64),
            tf.TensorSpec((4,), tf.int32),
        ]
        # Called as it was traced: looking for the right trace takes as long as some images.
        function = tf.function(self._call, jit_compile=True, autograph=False)
        return function.get_concrete_function(*inputs)

    def _call(self, images: Any, labels: Any, flat: Any, carried: Any, numbers: Any) -> Any:
        count, added, microbatch_size, white = tf.unstack(numbers)
        shaped = zip(tf.split(flat, self._sizes), self._shapes, strict=True)
        parameters = [tf.reshape(*pair) for pair in shaped]

        def compute_group(group: Any, *results: Any) -> tuple[Any, ...]:
            first = group * GROUP_IMAGES
            pixels = tf.cast(_rows(images, first), tf.float32) / tf.cast(white, tf.float32)
            truth = tf.one_hot(_rows(labels, first), self._classes)
            of_group = _compute_group(pixels, truth, *parameters)
            rows = (
                xla.dynamic_update_slice(whole, part, tf.stack([first, 0]))
                for whole, part in zip(results, of_group, strict=False)
            )
            members = tf.minimum(added - first, GROUP_IMAGES)
            sums = _add_in_order(members, first, microbatch_size, of_group, results[-2:])
            return group + 1, *rows, *sums

        groups = (count + GROUP_IMAGES - 1) // GROUP_IMAGES
        rows = (tf.zeros((self.images, columns)) for columns in self._columns)
        state = tf.constant(0), *rows, *self._first_sums(carried)
        return tf.while_loop(lambda group, *_: group < groups, compute_group, state)[1:]

    def _first_sums(self, carried: Any) -> tuple[Any, Any]:
        rows = tf.pad(carried[tf.newaxis], [[0, self.sums - 1], [0, 0]])
        of_filters, of_dense = tf.split(rows, [self._columns[0], self._sizes[-1]], axis=1)
        return of_filters, tf.reshape(of_dense, (self.sums, self._classes, -1))


def _call_images(columns: int) -> int:
    groups = min(CALL_BYTES // (4 * columns * GROUP_IMAGES), MOST_CALL_IMAGES // GROUP_IMAGES)
    return max(groups, 1) * GROUP_IMAGES


def _compute_group(pixels: Any, truth: Any, *parameters: Any) -> tuple[Any, Any, Any, Any]:
    *convolutions, dense = parameters
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        forward = networks.layerwise(pixels, convolutions, dense, tape)
        losses = binary_cross_entropy(forward.logits, truth)
    *slopes, of_logits = tape.gradient(losses, [*forward.preactivations, forward.logits])
    by_filter = [
        filter_gradients(slope, maps, filters.shape[1])
        for slope, maps, filters in zip(slopes, forward.maps, convolutions, strict=True)
    ]
    # The dense array's gradient is an outer product: its norm is the product of the two norms.
    of_dense = _squares(of_logits, -1) * _squares(forward.activation, 0, 1, 2)
    norms = tf.sqrt(tf.add_n([*(_squares(each, 0, 1, 2) for each in by_filter), of_dense]))
    predictions = tf.cast(tf.argmax(forward.logits, axis=-1), tf.float32)
    filters = tf.concat([tf.reshape(each, (-1, GROUP_IMAGES)) for each in by_filter], axis=0)
    features = tf.reshape(forward.features, (GROUP_IMAGES, -1))
    values = tf.stack([losses, norms, predictions], axis=1)
    return tf.transpose(filters), features, of_logits, values


def _add_in_order(members: Any, first: Any, microbatch_size: Any, of_group: Any, sums: Any) -> Any:
    """Add the first members' gradients to their microbatches' sums, one image after the other."""
    filters, features, slopes, _ = of_group

    def add(member: Any, of_filters: Any, of_dense: Any) -> tuple[Any, Any, Any]:
        microbatch = (first + member) // microbatch_size
        products = _row(slopes, member)[:, :, tf.newaxis] * _row(features, member)[:, tf.newaxis]
        return (
            member + 1,
            _add_gradient(of_filters, microbatch, _row(filters, member)),
            _add_gradient(of_dense, microbatch, products),
        )

    state = (tf.constant(0), *sums)
    return tf.while_loop(lambda member, *_: member < members, add, state)[1:]


def _rows(array: Any, first: Any) -> Any:
    origin = (first, *([0] * (len(array.shape) - 1)))
    return block_of(array, origin, GROUP_IMAGES)


def _row(array: Any, row: Any) -> Any:
    return block_of(array, (row, 0), 1)


def _add_gradient(sums: Any, microbatch: Any, gradient: Any) -> Any:
    origin = (microbatch, *([0] * (len(sums.shape) - 1)))
    return block_added(sums, origin, tf.cast(gradient, tf.float64))


def _squares(array: Any, *axes: int) -> Any:
    """Sum of squares over these axes; the one that is left is the images'."""
    return tf.reduce_sum(tf.square(array), axis=axes)
