"""Pictures brought to the built-in network's side."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.errors import DatasetError


def fit(images: NDArray[Any], side: int) -> NDArray[Any]:
    """Pictures (n, rows, columns) as (n, side, side): cropped, and square ones below it enlarged.

    Raises `DatasetError` for others that are too small.
    """
    rows, columns = images.shape[1:]
    return enlarge(images, side) if rows == columns < side else crop(images, side)


def crop(images: NDArray[Any], side: int) -> NDArray[Any]:
    """The top left corner; MNIST's 28 by 28 lose their last row and column at a side of 27."""
    rows, columns = images.shape[1:]
    if min(rows, columns) < side:
        raise DatasetError(
            f"The data set's images, {rows} by {columns} pixels, are too small. "
            f"Expected at least {side} by {side}, or square ones, which are enlarged. "
            f"Received: image_side={side}."
        )
    return np.ascontiguousarray(images[:, :side, :side])


def enlarge(images: NDArray[Any], side: int) -> NDArray[np.uint8]:
    """The images resampled, (n, side, side); Pillow does it in whole numbers on every machine."""
    from PIL import Image

    enlarged = np.empty((len(images), side, side), np.uint8)
    for position, image in enumerate(images):
        resampled = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
        enlarged[position] = np.asarray(resampled)
    return enlarged
