"""A data set as it was read, before a run's choice: checked parts and how they fit a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.errors import DatasetError

Images = NDArray[np.uint8]

LARGEST_LABEL = np.iinfo(np.int64).max


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ImageData:
    """Images as the network sees them, with their labels."""

    images: NDArray[np.uint8]  #: (n, image_side, image_side)
    labels: NDArray[np.uint8]  #: (n,), an index into the run's classes, not the data set's label


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Split:
    """A run's images, in the data set's own order; no image is in both parts."""

    training: ImageData  #: exactly the configuration's `images`
    test: ImageData  #: exactly its `test_images`, held out from training; may be none
    classes: tuple[int, ...] = ()  #: the run's; all that the data set has if it names none


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Part:
    """Images and labels in the data set's own order, at least one."""

    images: Images  #: (n, rows, columns)
    labels: NDArray[np.int64]  #: (n,), the data set's own labels, none negative


def crop(images: Images, side: int) -> Images:
    """The top left corner; MNIST's 28 by 28 lose their last row and column at a side of 27."""
    rows, columns = images.shape[1:]
    if min(rows, columns) < side:
        raise DatasetError(
            f"The data set's images, {rows} by {columns} pixels, are too small. "
            f"Expected at least {side} by {side}. Received: image_side={side}."
        )
    return np.ascontiguousarray(images[:, :side, :side])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Source:
    """A whole data set, and the function that brings its images to the network's side."""

    training: Part
    held_out: Part | None = None  #: None: held-out images follow the run's own in `training`
    fit: Callable[[Images, int], Images] = crop  #: (n, rows, columns), side → (n, side, side)


def validate_part(file: Path, images: NDArray[Any], labels: NDArray[Any]) -> Part:
    """A part of what a file holds; raises `DatasetError` for shapes or values that cannot be."""
    levels = validate_images(file, images)
    _check_dimensions(file, "labels", labels, 1)
    if len(images) != len(labels):
        raise DatasetError(
            f"Expected one label per image in {file}. "
            f"Received: {len(images)} images and {len(labels)} labels."
        )
    return Part(images=levels, labels=_whole_labels(file, labels))


def validate_images(file: Path, images: NDArray[Any]) -> Images:
    """A file's images, one or more; raises `DatasetError` for what cannot be images."""
    _check_dimensions(file, "images", images, 3)
    if not len(images):
        raise DatasetError(f"There are no images in {file}.")
    return _grey_levels(file, images)


def _check_dimensions(file: Path, name: str, array: NDArray[Any], expected: int) -> None:
    if array.ndim != expected:
        raise DatasetError(
            f"Expected {name} of {expected} dimension(s) in {file}. Received: shape={array.shape}."
        )


def _grey_levels(file: Path, images: NDArray[Any]) -> Images:
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind == "f" and ((images >= 0) & (images <= 1)).all():
        return np.rint(images * np.float32(255)).astype(np.uint8)
    raise DatasetError(
        f"Expected images in {file} as uint8, or as floats from 0 to 1. "
        f"Received: {_extent(images)}."
    )


def _whole_labels(file: Path, labels: NDArray[Any]) -> NDArray[np.int64]:
    if labels.dtype.kind in "iu" and labels.min() >= 0 and labels.max() <= LARGEST_LABEL:
        return labels.astype(np.int64)
    raise DatasetError(
        f"Expected labels in {file} as whole numbers from 0. Received: {_extent(labels)}."
    )


def _extent(array: NDArray[Any]) -> str:
    numeric = array.size and array.dtype.kind in "iuf"
    values = f" from {array.min()} to {array.max()}" if numeric else ""
    return f"{array.dtype}{values}"
