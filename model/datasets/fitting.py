"""Pictures brought to another size, and the level at their borders."""

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


def contain(image: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    """The whole picture within so many rows and columns, (rows, columns, …).

    Its sides stay in proportion: what is left beside it has the level of its border.
    """
    from PIL import Image

    height, width = image.shape[:2]
    scale = min(rows / height, columns / width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    resampled = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    background = np.median(border_of(resampled), axis=0).astype(np.uint8)
    whole = np.full((rows, columns, *image.shape[2:]), background, np.uint8)
    top, left = (rows - size[1]) // 2, (columns - size[0]) // 2
    whole[top : top + size[1], left : left + size[0]] = resampled
    return whole


def border_of(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The outermost pixels of a picture, (pixels, …)."""
    return np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
