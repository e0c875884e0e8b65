"""A user's own files: data sets to train on, and images for a trained network to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.config import RunConfig
from tapeworks.model.datasets.fitting import crop, enlarge
from tapeworks.model.datasets.mnist import MNIST_SIDE
from tapeworks.model.datasets.readers import read_arrays, read_png
from tapeworks.model.datasets.source import Images, Source
from tapeworks.model.datasets.validation import (
    validate_grey_images,
    validate_grey_part,
    validate_images,
    validate_labels,
    validate_part,
)
from tapeworks.model.errors import DatasetError

#: An image of three dimensions and so many channels is a picture in colour.
COLOURS = 3


def refuse_for_built_in(received: str) -> DatasetError:
    """The error for a data set that only a user's own network takes."""
    return DatasetError(
        "The built-in network takes images (n, rows, columns) in grey levels, with whole numbers "
        f"as labels. Received: {received}. A network of your own takes images of any shape, and "
        "float targets: --network FILE.py."
    )


def read_own_file(path: Path, *, is_built_in: bool) -> Source:
    """A user's `images` (n, …) and `labels`, as the network takes them.

    The built-in network: `images` (n, rows, columns), uint8 or floats from 0 to 1, whole numbers
    (n,) as `labels`. Raises `DatasetError`.
    """
    images, labels = read_arrays(path, "images", "labels")
    if not is_built_in:
        return Source(training=validate_part(path, images, labels))
    if images.ndim != 3 or labels.dtype.kind == "f":
        raise refuse_for_built_in(
            f"{path} with images of shape {images.shape} and {labels.dtype} labels of shape "
            f"{labels.shape}"
        )
    return Source(training=validate_grey_part(path, images, labels))


def read_images(file: Path, config: RunConfig) -> tuple[Images, NDArray[np.int64] | None]:
    """Images to predict, as the file has them, and their labels if it has any.

    A PNG's picture has three channels if the run's images have, else grey levels. Raises
    `DatasetError`.
    """
    if file.suffix.lower() == ".png":
        return read_png(file, in_colour=not config.is_built_in and _is_coloured(config)), None
    images, *labels = read_arrays(file, "images", optional=("labels",))
    validate = validate_grey_images if config.is_built_in else validate_images
    checked = validate(file, images)
    return checked, validate_labels(file, labels[0], len(checked)) if labels else None


def _is_coloured(config: RunConfig) -> bool:
    shape = config.spec.image_shape
    return len(shape) == 3 and shape[-1] == COLOURS


def fit_images(images: Images, config: RunConfig, file: Path) -> Images:
    """The images as the run's network takes them. Raises `DatasetError` for those it cannot.

    A user's own network takes images like the run's. The built-in one takes those of its side; for
    a run on digits, square ones are resampled; for one on MNIST, those of its 28 by 28 pixels are
    cropped; for one on a user's own file, all that are large enough.
    """
    if not config.is_built_in:
        return _check_alike(images, config, file)
    rows, columns = images.shape[1:]
    side = config.image_side
    if (rows, columns) == (side, side):
        return images
    if config.dataset == "digits":
        _expect(rows == columns, "square images", rows, columns, file)
        return enlarge(images, side)
    if config.dataset == "mnist":
        expected = f"images of {MNIST_SIDE} by {MNIST_SIDE} or {side} by {side} pixels"
        _expect((rows, columns) == (MNIST_SIDE, MNIST_SIDE), expected, rows, columns, file)
    expected = f"images of at least {side} by {side} pixels"
    _expect(min(rows, columns) >= side, expected, rows, columns, file)
    return crop(images, side)


def _check_alike(images: Images, config: RunConfig, file: Path) -> Images:
    expected = _describe(config.spec.image_kind, config.spec.image_shape)
    received = _describe(images.dtype, images.shape[1:])
    if received != expected:
        raise DatasetError(
            f"Expected images in {file} like the run's, {expected}. Received: {received}."
        )
    return images


def _describe(dtype: Any, shape: tuple[int, ...]) -> str:
    return f"{dtype} of shape {tuple(shape)}"


def _expect(right: bool, expected: str, rows: int, columns: int, file: Path) -> None:
    if not right:
        raise DatasetError(
            f"Expected {expected} in {file}, like those of the run. Received: {rows} by {columns}."
        )
