"""NumPy's .npz files: a user's own data set, and the arrays of anybody's."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.datasets.source import (
    Images,
    Source,
    checked_images,
    checked_part,
)
from tapeworks.model.datasets.unpacking import largest_unpacked, too_large
from tapeworks.model.errors import DatasetError


def read_own_file(path: Path) -> Source:
    """A user's `images` (n, rows, columns), uint8 or floats from 0 to 1, and `labels` (n,)."""
    return Source(training=checked_part(path, *read_arrays(path, "images", "labels")))


def read_images(path: Path) -> tuple[Images, NDArray[np.int64] | None]:
    """A user's `images` and, if the file has them, their `labels`."""
    images, *labels = read_arrays(path, "images", optional=("labels",))
    if not labels:
        return checked_images(path, images), None
    part = checked_part(path, images, *labels)
    return part.images, part.labels


def read_arrays(path: Path, *names: str, optional: tuple[str, ...] = ()) -> list[NDArray[Any]]:
    """The arrays of these names, nothing of which is ever unpickled; then those that may lack.

    Raises `DatasetError` for a missing or damaged file and for a missing array.
    """
    if not path.is_file():
        raise DatasetError(f"There is no file {path}.")
    if not zipfile.is_zipfile(path):
        raise DatasetError(f"{path} is not an .npz file, which is a zip archive of arrays.")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            _check_names(path, names, arrays.files)
            found = (*names, *(name for name in optional if name in arrays.files))
            _check_size(path, found)
            return [np.asarray(arrays[name]) for name in found]
    except DatasetError:
        raise
    except Exception as error:  # damaged arrays make NumPy raise anything, TokenError among it
        raise DatasetError(f"{path} cannot be read: {str(error).rstrip('.')}.") from error


def _check_size(path: Path, names: tuple[str, ...]) -> None:
    """No member of an archive becomes larger than the archive says."""
    with zipfile.ZipFile(path) as archive:
        members = [
            each for each in archive.infolist() if each.filename.removesuffix(".npy") in names
        ]
    if sum(each.file_size for each in members) > largest_unpacked(path):
        raise too_large(path)


def _check_names(path: Path, expected: tuple[str, ...], found: list[str]) -> None:
    for name in expected:
        if name not in found:
            raise DatasetError(
                f"There is no array {name!r} in {path}. Expected {', '.join(expected)}. "
                f"Received: {', '.join(found) or 'no arrays'}."
            )
