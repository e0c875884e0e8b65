"""MNIST's own file format: a magic number, the dimensions, then the bytes; often gzipped."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.datasets.unpacking import largest_unpacked, too_large
from tapeworks.model.errors import DatasetError

GZIP_MAGIC = b"\x1f\x8b"

#: The only one of the format's element types that MNIST uses.
UNSIGNED_BYTE = 0x08


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
