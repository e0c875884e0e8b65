"""The seed document's function in slow float64 NumPy, written from the document alone.

Loops over pixels, no unfolding, no automatic differentiation, nothing imported from the project:
what the project computes is compared with this, and this with finite differences of itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Forward:
    """Everything the backward pass needs of one image's forward pass."""

    inputs: list[Array]  #: each layer's input, (maps, rows, columns)
    preactivations: list[Array]  #: each layer's output before ReLU, (filters, rows, columns)
    activation: Array  #: the last layer's output after ReLU
    logits: Array  #: (classes,)

    @property
    def distance_to_a_kink(self) -> float:
        """The smallest pre-activation beside the exact zeros, relative to its layer's largest.

        float32 may take the other side of ReLU only if this is about 1e-7.
        """
        distances = []
        for layer in self.preactivations:
            sizes = np.abs(layer[layer != 0])
            distances += [float(sizes.min() / sizes.max())] if sizes.size else []
        return min(distances, default=np.inf)


def forward(parameters: Mapping[str, NDArray[np.floating]], image: NDArray[np.floating]) -> Forward:
    """One image, (rows, columns) in [0, 1], through the network."""
    maps = image.astype(np.float64)[np.newaxis]
    inputs, preactivations = [], []
    for filters in _convolutions(parameters):
        inputs.append(maps)
        preactivations.append(_convolve(maps, filters))
        maps = np.maximum(preactivations[-1], 0.0)
    dense = parameters["dense_1"].astype(np.float64)
    logits = np.array([np.sum(of_class * maps) for of_class in dense])
    return Forward(inputs=inputs, preactivations=preactivations, activation=maps, logits=logits)


def loss(logits: Array, truth: NDArray[np.floating]) -> float:
    """Σ −(y·log p + (1−y)·log(1−p)), p = softmax(logits), as the document writes it."""
    p = np.exp(logits) / np.sum(np.exp(logits))
    return float(np.sum(-(truth * np.log(p) + (1.0 - truth) * np.log(1.0 - p))))


def loss_slope(logits: Array, truth: NDArray[np.floating]) -> Array:
    """∂loss/∂logits: through both logarithms, then through the softmax's Jacobian."""
    p = np.exp(logits) / np.sum(np.exp(logits))
    by_p = -(truth / p) + (1.0 - truth) / (1.0 - p)
    slope = np.zeros_like(logits)
    for k in range(len(logits)):
        for i in range(len(logits)):
            slope[k] += by_p[i] * p[i] * ((1.0 if i == k else 0.0) - p[k])
    return slope


def image_loss(
    parameters: Mapping[str, NDArray[np.floating]],
    image: NDArray[np.floating],
    truth: NDArray[np.floating],
) -> float:
    """The loss of one image."""
    return loss(forward(parameters, image).logits, truth)


def image_gradient(
    parameters: Mapping[str, NDArray[np.floating]],
    image: NDArray[np.floating],
    truth: NDArray[np.floating],
) -> dict[str, Array]:
    """The loss gradient of one image for every parameter array, by hand-written back-propagation.

    `tf.maximum(x, 0)` has gradient 1 where x ≥ 0: also at exactly 0.
    """
    passed = forward(parameters, image)
    dense = parameters["dense_1"].astype(np.float64)
    logit_slope = loss_slope(passed.logits, truth)
    gradients = {"dense_1": np.array([slope * passed.activation for slope in logit_slope])}
    map_slope = np.zeros_like(passed.activation)
    for slope, of_class in zip(logit_slope, dense, strict=True):
        map_slope += slope * of_class
    convolutions = _convolutions(parameters)
    for layer in reversed(range(len(convolutions))):
        slope = np.where(passed.preactivations[layer] >= 0.0, map_slope, 0.0)
        gradients[f"conv_{layer + 1}"], map_slope = _convolve_backward(
            passed.inputs[layer], convolutions[layer], slope
        )
    return gradients


def _convolutions(parameters: Mapping[str, NDArray[np.floating]]) -> list[Array]:
    count = len(parameters) - 1
    return [parameters[f"conv_{layer}"].astype(np.float64) for layer in range(1, count + 1)]


def _convolve(maps: Array, filters: Array) -> Array:
    """Each output pixel: the sum over all maps below and the kernel's window."""
    size = filters.shape[1]
    rows, columns = maps.shape[1] - size + 1, maps.shape[2] - size + 1
    output = np.zeros((len(filters), rows, columns))
    for number, kernel in enumerate(filters):
        for row in range(rows):
            for column in range(columns):
                window = maps[:, row : row + size, column : column + size]
                output[number, row, column] = np.sum(window * kernel)
    return output


def _convolve_backward(maps: Array, filters: Array, slope: Array) -> tuple[Array, Array]:
    """(gradient of the filters, slope of the maps below) from the slope of the output."""
    size = filters.shape[1]
    filter_gradient, map_slope = np.zeros_like(filters), np.zeros_like(maps)
    for number, row, column in np.ndindex(*slope.shape):
        here = (slice(None), slice(row, row + size), slice(column, column + size))
        filter_gradient[number] += slope[number, row, column] * maps[here].sum(axis=0)
        map_slope[here] += slope[number, row, column] * filters[number]
    return filter_gradient, map_slope


def microbatch_sum(images: Sequence[NDArray[np.floating]] | NDArray[np.floating]) -> Array:
    """One microbatch's gradients added to 0, image by image."""
    total = np.zeros(np.shape(images[0]))
    for image in images:
        total = total + image.astype(np.float64)
    return total


def block_sum(microbatches: Sequence[Array], first: int, width: int) -> Array:
    """The sum of the block of `width` microbatches from `first` on, as far as they exist."""
    if width == 1:
        return microbatches[first]
    middle = first + width // 2
    left = block_sum(microbatches, first, width // 2)
    if middle >= len(microbatches):
        return left
    return left + block_sum(microbatches, middle, width // 2)


def image_set_sum(microbatches: Sequence[Array]) -> Array:
    """The sum of all microbatches: that of the smallest block that holds them all."""
    width = 1
    while width < len(microbatches):
        width = 2 * width
    return block_sum(microbatches, 0, width)
