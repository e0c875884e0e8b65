"""Filter gradients of many images' convolutions at once: a product of each image's patches.

`tf.vectorized_map` would compute them in a loop, one image after the other, which takes twice as
long where the maps are small. TensorFlow has no public place for another rule, so that its table of
rules is changed, once in a process; tests/unit/model/test_patches.py fails where it is another one.
"""

from __future__ import annotations

import functools
from typing import Any

from tensorflow.python.ops.parallel_for import pfor

from tapeworks.model.engine.runtime import tf

OPERATION = "Conv2DBackpropFilter"

#: Numbers of an image's patches up to which the product is faster than the loop.
MOST_PATCH_NUMBERS = 20_000


@functools.cache
def use_patches() -> None:
    """Have this process compute filter gradients from patches where that is faster."""
    rules = pfor._pfor_converter_registry
    rules[OPERATION] = functools.partial(_convert, rules[OPERATION])


def _convert(theirs: Any, given: Any, *arguments: Any, **named: Any) -> Any:
    """Compute the gradients from patches where that is faster, else by TensorFlow's own rule."""
    maps, is_stacked, _ = given.input(0)
    slopes = given.stacked_input(2) if given.input(2)[1] else None
    sizes = tf.get_static_value(given.unstacked_input(1))
    if slopes is None or not is_stacked or not _is_faster(given, maps, slopes, sizes):
        return theirs(given, *arguments, **named)
    rows, columns, channels, filters = map(int, sizes)
    count, stride = slopes.shape[0], given.get_attr("strides")[1]
    height, width = slopes.shape[2:4]
    padded = _pad(given, maps[:, 0], (rows, columns), (height, width), stride)
    planes = tf.transpose(padded, (0, 3, 1, 2))
    shifted = _shift(planes, 3, columns, width, stride)  # along columns: (n, shifts, channels, …)
    patches = tf.reshape(_shift(shifted, 3, rows, height, stride), (count, -1, height * width))
    flat = tf.reshape(slopes, (count, height * width, filters))
    gradients = tf.matmul(patches, flat)
    return pfor.wrap(tf.reshape(gradients, (count, rows, columns, channels, filters)), True)


def _shift(planes: Any, axis: int, shifts: int, length: int, stride: int) -> Any:
    """Stack parts of planes that begin one place further on each time, on a new second axis."""
    before = (slice(None),) * axis
    parts = [
        planes[(*before, slice(first, first + (length - 1) * stride + 1, stride))]
        for first in range(shifts)
    ]
    return tf.stack(parts, axis=1)


def _is_faster(given: Any, maps: Any, slopes: Any, sizes: Any) -> bool:
    """Check that shapes are known, the convolution is an ordinary one, and the maps are small."""
    known = sizes is not None and maps.shape.is_fully_defined() and slopes.shape.is_fully_defined()
    if not known or maps.shape[1] != 1:
        return False
    strides, dilations = given.get_attr("strides"), given.get_attr("dilations")
    is_ordinary = given.get_attr("data_format") == b"NHWC" and set(dilations) == {1}
    is_padded = given.get_attr("padding") in {b"SAME", b"VALID"}
    is_even = strides[1] == strides[2] and sizes[2] == maps.shape[4]
    numbers = int(sizes[0] * sizes[1] * sizes[2]) * slopes.shape[2] * slopes.shape[3]
    return is_ordinary and is_padded and is_even and numbers <= MOST_PATCH_NUMBERS


def _pad(
    given: Any, maps: Any, kernel: tuple[int, int], result: tuple[int, int], stride: int
) -> Any:
    """Put the zeros around maps (n, rows, columns, channels) that SAME has, half of them before."""
    if given.get_attr("padding") == b"VALID":
        return maps
    missing = [
        max((side - 1) * stride + size - below, 0)
        for side, size, below in zip(result, kernel, maps.shape[1:3], strict=True)
    ]
    around = [[each // 2, each - each // 2] for each in missing]
    return tf.pad(maps, [[0, 0], *around, [0, 0]])
