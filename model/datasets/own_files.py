"""A user's own data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tapeworks.model.datasets.readers import read_arrays
from tapeworks.model.datasets.source import Source
from tapeworks.model.datasets.validation import (
    validate_grey_part,
    validate_labels,
    validate_part,
)
from tapeworks.model.errors import DatasetError


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


def read_own_labels(path: Path) -> tuple[int, ...]:
    """All labels of a user's file, of which nothing else is read. Raises `DatasetError`."""
    [labels] = read_arrays(path, "labels")
    if not labels.size:
        raise DatasetError(f"There are no labels in {path}.")
    return tuple(np.unique(validate_labels(path, labels, labels.size)).tolist())
