"""Images for a microbatch, and its results image by image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.engine.results import EngineResult
from tapeworks.model.networks.builtin.spec import BuiltinNetwork

SMALL = BuiltinNetwork(image_side=9, kernel_sizes=(2, 3), filters=2, class_count=3)


def bright_images(count: int, side: int, seed: int = 0) -> NDArray[np.uint8]:
    """Images without a black pixel, so that no pre-activation is exactly 0."""
    source = np.random.default_rng(seed)
    return source.integers(20, 256, (count, side, side)).astype(np.uint8)


def drawn_images(count: int, side: int, seed: int = 0) -> NDArray[np.uint8]:
    """Bright strokes on black, as digits are: most pre-activations of layer one are exactly 0."""
    source = np.random.default_rng(seed)
    images = np.zeros((count, side, side), np.uint8)
    for image in images:
        row, column = source.integers(0, side, 2)
        image[row, :] = source.integers(100, 256, side)
        image[:, column] = source.integers(100, 256, side)
    return images


def labels_of(count: int, network: BuiltinNetwork) -> NDArray[np.int64]:
    return np.arange(count, dtype=np.int64) % network.class_count


def row_bits(result: EngineResult, row: int) -> dict[str, bytes]:
    """One image's results, byte by byte."""
    arrays = dict(result.gradients)
    arrays |= {"losses": result.losses, "norms": result.gradient_norms}
    arrays |= {"predictions": result.predictions}
    return {name: array[row].tobytes() for name, array in arrays.items()}
