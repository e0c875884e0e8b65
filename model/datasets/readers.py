"""Readers of .npz and MNIST's files, none of which may fill the memory."""

from __future__ import annotations

import gzip
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.errors import DatasetError

#: Bytes that any file may become; what is smaller harms nobody.
ALWAYS_ALLOWED = 64 * 1024 * 1024

#: Times its size that a larger one may become. MNIST's images become 5 times, its labels twice as
#: large; a file that is made for it a thousand times.
LARGEST_GROWTH = 100

GZIP_MAGIC = b"\x1f\x8b"

#: The only one of the format's element types that MNIST uses.
UNSIGNED_BYTE = 0x08


def largest_unpacked(path: Path) -> int:
    """Bytes that this file may become."""
    return max(ALWAYS_ALLOWED, LARGEST_GROWTH * path.stat().st_size)


def too_large(path: Path) -> DatasetError:
    """The error for a file that would become larger."""
    return DatasetError(
        f"{path} becomes too large. Expected at most {largest_unpacked(path):,} bytes unpacked. "
        "If it is right as it is, write it without compression."
    )


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array of an IDX file of unsigned bytes, read-only; a gzipped one is told by its content.

    Raises `DatasetError` for any other file, and for one byte too few or too many.
    """
    content = _content(path)
    _check_magic(path, content[:4], dimensions)
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise DatasetError(f"{path} is truncated: it ends inside its header.")
    shape = struct.unpack_from(f">{dimensions}I", content, 4)
    expected = start + math.prod(shape)
    if len(content) != expected:
        fault = "truncated" if len(content) < expected else "too long"
        raise DatasetError(
            f"{path} is {fault}. Expected {expected} bytes. Received: {len(content)}."
        )
    if 0 in shape:
        raise DatasetError(f"{path} is empty. Received: shape={shape}.")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        if file.read(len(GZIP_MAGIC)) != GZIP_MAGIC:
            return path.read_bytes()
    most = largest_unpacked(path)
    try:
        with gzip.open(path) as file:
            content = file.read(most + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DatasetError(f"{path} is a damaged gzip file: {error}.") from error
    if len(content) > most:
        raise too_large(path)
    return content


def _check_magic(path: Path, magic: bytes, dimensions: int) -> None:
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DatasetError(
            f"{path} is not an IDX file. Expected it to begin with two zero bytes. "
            f"Received: 0x{magic.hex()}."
        )
    _, _, element_type, found = magic
    if element_type != UNSIGNED_BYTE:
        raise DatasetError(
            f"Expected unsigned bytes (type 0x{UNSIGNED_BYTE:02x}) in {path}. "
            f"Received: type 0x{element_type:02x}."
        )
    if found != dimensions:
        raise DatasetError(
            f"Expected {dimensions} dimension(s) in {path}. Received: {found} dimension(s)."
        )


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
