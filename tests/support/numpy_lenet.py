"""`examples/lenet.py` in slow float64 NumPy: one image at a time, in loops over its pixels.

No automatic differentiation, nothing imported from the project or the example.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Arrays = dict[str, Array]

#: Rows and columns of a filter, and zeros on each side of the image before the first convolution.
KERNEL, BORDER = 5, 2

DENSE = ("dense_1", "dense_2", "dense_3")


@dataclass(frozen=True, kw_only=True)
class Convolved:
    """A convolution with its ReLU and its pooling, and what the backward pass needs of it."""

    below: Array  #: (rows, columns, maps below), bordered
    sums: Array  #: (rows, columns, filters) before ReLU
    pooled: Array  #: (rows / 2, columns / 2, filters)


@dataclass(frozen=True, kw_only=True)
class Forward:
    """One image's forward pass."""

    convolved: list[Convolved]
    inputs: list[Array]  #: of each dense layer
    logits: Array  #: (10,)


def compute_losses(
    parameters: Mapping[str, NDArray[np.floating]],
    images: NDArray[np.floating],
    labels: NDArray[np.integer],
) -> Array:
    """(n,) of images (n, 28, 28) from 0 to 1."""
    wide = _widen(parameters)
    passes = [_run_forward(wide, image.astype(np.float64)) for image in images]
    return np.array([_loss(one.logits, label) for one, label in zip(passes, labels, strict=True)])


def compute_gradients(
    parameters: Mapping[str, NDArray[np.floating]],
    images: NDArray[np.floating],
    labels: NDArray[np.integer],
) -> Arrays:
    """Each image's own gradient, per parameter (n, *shape)."""
    wide = _widen(parameters)
    of_images = [
        _run_backward(wide, _run_forward(wide, image.astype(np.float64)), int(label))
        for image, label in zip(images, labels, strict=True)
    ]
    return {name: np.stack([one[name] for one in of_images]) for name in wide}


def _widen(parameters: Mapping[str, NDArray[np.floating]]) -> Arrays:
    return {name: array.astype(np.float64) for name, array in parameters.items()}


def _loss(logits: Array, label: int) -> float:
    """−log softmax."""
    return float(np.log(np.sum(np.exp(logits - logits[label]))))


# Forward


def _run_forward(parameters: Arrays, image: Array) -> Forward:
    bordered = np.pad(image, BORDER)[:, :, np.newaxis]
    first = _convolve(parameters, "conv_1", bordered)
    second = _convolve(parameters, "conv_2", first.pooled)
    values, inputs = second.pooled.reshape(-1), []
    for name in DENSE:
        inputs.append(values)
        values = values @ parameters[name] + parameters[f"{name}_bias"]
        if name != DENSE[-1]:
            values = np.maximum(values, 0.0)
    return Forward(convolved=[first, second], inputs=inputs, logits=values)


def _convolve(parameters: Arrays, name: str, below: Array) -> Convolved:
    filters, bias = parameters[name], parameters[f"{name}_bias"]
    side = len(below) - KERNEL + 1
    sums = np.empty((side, side, len(bias)))
    for row in range(side):
        for column in range(side):
            patch = below[row : row + KERNEL, column : column + KERNEL]
            for number in range(len(bias)):
                sums[row, column, number] = np.sum(patch * filters[..., number]) + bias[number]
    return Convolved(below=below, sums=sums, pooled=_pool(np.maximum(sums, 0.0)))


def _pool(maps: Array) -> Array:
    pooled = np.empty((len(maps) // 2, len(maps) // 2, maps.shape[2]))
    for row in range(len(pooled)):
        for column in range(len(pooled)):
            pooled[row, column] = maps[_square(row, column)].max(axis=(0, 1))
    return pooled


def _square(row: int, column: int) -> tuple[slice, slice]:
    """The four pixels of which the largest is kept."""
    return slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2)


# Backward: slopes are the loss's, by what the name says


def _run_backward(parameters: Arrays, forward: Forward, label: int) -> Arrays:
    exponentials = np.exp(forward.logits - forward.logits.max())
    slopes = exponentials / exponentials.sum()
    slopes[label] -= 1.0
    gradients: Arrays = {}
    for name, inputs in reversed(list(zip(DENSE, forward.inputs, strict=True))):
        gradients[name] = np.outer(inputs, slopes)
        gradients[f"{name}_bias"] = slopes
        slopes = parameters[name] @ slopes
        if name != DENSE[0]:  # its inputs come out of a pooling, which has a ReLU below
            slopes = np.where(inputs > 0, slopes, 0.0)
    for name, layer in (("conv_2", forward.convolved[1]), ("conv_1", forward.convolved[0])):
        of_sums = _unpool(layer.sums, slopes.reshape(layer.pooled.shape))
        gradients[name], slopes = _differentiate(layer.below, of_sums, parameters[name])
        gradients[f"{name}_bias"] = of_sums.sum(axis=(0, 1))
    return gradients


def _unpool(sums: Array, slopes: Array) -> Array:
    """Each slope goes to the first of the largest pixels of its square, if ReLU lets it through."""
    spread = np.zeros_like(sums)
    for row, column, number in np.ndindex(slopes.shape):
        square = (*_square(row, column), number)
        place = np.unravel_index(np.argmax(np.maximum(sums[square], 0.0)), (2, 2))
        if sums[square][place] > 0:
            spread[square][place] = slopes[row, column, number]
    return spread


def _differentiate(below: Array, slopes: Array, filters: Array) -> tuple[Array, Array]:
    """The slopes by the filters, and by the maps below."""
    of_filters, of_below = np.zeros_like(filters), np.zeros_like(below)
    for row, column, number in np.argwhere(slopes):
        place = slice(row, row + KERNEL), slice(column, column + KERNEL)
        slope = slopes[row, column, number]
        of_filters[..., number] += slope * below[place]
        of_below[place] += slope * filters[..., number]
    return of_filters, of_below
