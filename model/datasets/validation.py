"""Checks of arrays that were read from files: what may be images, labels and targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.datasets.source import Images, Labels, Part
from tapeworks.model.errors import DatasetError
from tapeworks.model.networks.own.spec import MOST_DIMENSIONS

#: Characters of a text among labels that a sentence shows.
LONGEST_TEXT = 40

LARGEST_LABEL = np.iinfo(np.int64).max


def validate_part(file: Path, images: NDArray[Any], labels: NDArray[Any]) -> Part:
    """Images of any shape with labels or float targets. Raises `DatasetError` for others."""
    checked = validate_images(file, images)
    has_targets = labels.dtype.kind == "f"
    validate = _validate_targets if has_targets else validate_labels
    return Part(images=checked, labels=validate(file, labels, len(checked)))


def validate_grey_part(file: Path, images: NDArray[Any], labels: NDArray[Any]) -> Part:
    """Pictures in grey levels with labels. Raises `DatasetError` for others."""
    checked = validate_grey_images(file, images)
    return Part(images=checked, labels=validate_labels(file, labels, len(checked)))


def validate_images(file: Path, images: NDArray[Any]) -> Images:
    """Images of any shape, uint8 or float32, to which other floats are rounded.

    Raises `DatasetError` for what cannot be images.
    """
    shape = images.shape[1:]
    if not 1 <= len(shape) <= MOST_DIMENSIONS or 0 in shape:
        raise DatasetError(
            f"Expected images (n, …) in {file}, each of one number or more and at most "
            f"{MOST_DIMENSIONS} dimensions. Received: shape={images.shape}."
        )
    _check_some(file, images)
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind == "f":
        return _finite(file, "images", images)
    raise DatasetError(
        f"Expected images in {file} as uint8 or float32; convert them with "
        f'images.astype("float32"). Received: {_extent(images)}.'
    )


def validate_grey_images(file: Path, images: NDArray[Any]) -> Images:
    """Pictures in grey levels, (n, rows, columns). Raises `DatasetError` for others."""
    _check_dimensions(file, "images", images, 3)
    _check_some(file, images)
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind == "f" and ((images >= 0) & (images <= 1)).all():
        return np.rint(images * np.float32(255)).astype(np.uint8)
    raise DatasetError(
        f"Expected images in {file} as uint8, or as floats from 0 to 1. "
        f"Received: {_extent(images)}."
    )


def validate_labels(file: Path, labels: NDArray[Any], images: int) -> NDArray[np.int64]:
    """So many whole numbers from 0. Raises `DatasetError` for others."""
    _check_dimensions(file, "labels", labels, 1)
    _check_length(file, labels, images)
    if labels.dtype.kind in "iu" and labels.min() >= 0 and labels.max() <= LARGEST_LABEL:
        return labels.astype(np.int64)
    if labels.dtype.kind in "OSU":
        shown = repr(labels.tolist()[0])
        raise DatasetError(
            f"Expected labels in {file} as whole numbers from 0. Received: texts, such as "
            f"{shown[:LONGEST_TEXT]}; number them with names, labels = np.unique(labels, "
            "return_inverse=True), and keep names to read predictions."
        )
    raise DatasetError(
        f"Expected labels in {file} as whole numbers from 0. Received: {_extent(labels)}."
    )


def _validate_targets(file: Path, targets: NDArray[Any], images: int) -> Labels:
    if targets.ndim not in (1, 2) or 0 in targets.shape[1:]:
        raise DatasetError(
            f"Expected float targets (n,) or (n, k) as labels in {file}. "
            f"Received: shape={targets.shape}."
        )
    _check_length(file, targets, images)
    return _finite(file, "targets", targets)


def _finite(file: Path, name: str, numbers: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # infinite then, and refused
        rounded = numbers.astype(np.float32)
    if not np.isfinite(rounded).all():
        raise DatasetError(
            f"Expected {name} in {file} as finite float32 numbers. Received: {_extent(numbers)}."
        )
    return rounded


def _check_some(file: Path, images: NDArray[Any]) -> None:
    if not len(images):
        raise DatasetError(f"There are no images in {file}.")


def _check_length(file: Path, labels: NDArray[Any], images: int) -> None:
    if len(labels) != images:
        raise DatasetError(
            f"Expected one label per image in {file}. "
            f"Received: {images} images and {len(labels)} labels."
        )


def _check_dimensions(file: Path, name: str, array: NDArray[Any], expected: int) -> None:
    if array.ndim != expected:
        raise DatasetError(
            f"Expected {name} of {expected} dimension(s) in {file}. Received: shape={array.shape}."
        )


def _extent(array: NDArray[Any]) -> str:
    numeric = array.size and array.dtype.kind in "iuf"
    values = f" from {array.min()} to {array.max()}" if numeric else ""
    return f"{array.dtype}{values}"
