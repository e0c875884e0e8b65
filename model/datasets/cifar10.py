"""CIFAR-10 from the files of its binary version."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tapeworks.model.datasets.source import Part, Source
from tapeworks.model.errors import DatasetError
from tapeworks.model.settings import Settings

#: Where the binary version is.
CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"

#: Its directory, and that of the Python version, as their archives unpack.
BINARY_FOLDER, PYTHON_FOLDER = "cifar-10-batches-bin", "cifar-10-batches-py"

BATCHES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_BATCH = "test_batch.bin"

#: Files of the Python version.
PYTHON_FILES = ("batches.meta", "test_batch", *(name.removesuffix(".bin") for name in BATCHES))

#: Channels, rows and columns of an image as its file has them.
STORED_SHAPE = (3, 32, 32)

#: Bytes of an image and of the label before it.
ROW_BYTES = 1 + 3 * 32 * 32

CLASSES = 10


def read_cifar10(data_dir: str | None) -> Source:
    """CIFAR-10 from this directory, else from TAPEWORKS_DATA_DIR; of the training batches any.

    Raises `DatasetError` for files that are missing, damaged, or those of another version.
    """
    directory = Path(data_dir) if data_dir else Settings(os.environ).data_dir
    if directory is None:
        raise _missing("No directory is named that holds CIFAR-10, which is not downloaded.")
    found = find_batches(directory)
    if not found:
        _refuse_pickles(directory)
        raise _missing(f"There are no files of CIFAR-10 in {directory}.")
    training = [file for file in found if file.name != TEST_BATCH]
    held_out = [file for file in found if file.name == TEST_BATCH]
    if not training:
        return Source(training=_read(held_out))
    return Source(training=_read(training), held_out=_read(held_out) if held_out else None)


def find_batches(directory: Path) -> list[Path]:
    """The files of the binary version that are in this directory, or in their own inside it."""
    places = (directory, directory / BINARY_FOLDER)
    found = [[place / name for name in (*BATCHES, TEST_BATCH)] for place in places]
    present = ([file for file in files if file.is_file()] for files in found)
    return next((files for files in present if files), [])


def _missing(problem: str) -> DatasetError:
    return DatasetError(
        f"{problem} Expected {BATCHES[0]} to {BATCHES[-1]} and {TEST_BATCH}, or some of them; "
        f"unpack {CIFAR10_URL} and name the directory with --data-dir or "
        f"{Settings.data_dir.variable}."
    )


def _refuse_pickles(directory: Path) -> None:
    for place in (directory, directory / PYTHON_FOLDER):
        if any((place / name).is_file() for name in PYTHON_FILES):
            raise _missing(
                f"The files in {place} are CIFAR-10's Python version: pickles, which may run any "
                "code and are not opened."
            )


def _read(files: list[Path]) -> Part:
    rows = np.concatenate([_read_rows(file) for file in files])
    stored = rows[:, 1:].reshape(-1, *STORED_SHAPE)
    return Part(
        images=np.ascontiguousarray(stored.transpose(0, 2, 3, 1)),  # (n, rows, columns, channels)
        labels=rows[:, 0].astype(np.int64),
    )


def _read_rows(file: Path) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """(images, 1 + 3072): a label, then the levels of the image, channel by channel."""
    content = np.frombuffer(file.read_bytes(), np.uint8)
    if not len(content) or len(content) % ROW_BYTES:
        raise DatasetError(
            f"{file} is damaged. Expected {ROW_BYTES:,} bytes for each image, its label first. "
            f"Received: {len(content):,} bytes."
        )
    rows = content.reshape(-1, ROW_BYTES)
    if (largest := int(rows[:, 0].max())) >= CLASSES:
        raise DatasetError(
            f"{file} is damaged, or no file of CIFAR-10. Expected labels from 0 to {CLASSES - 1}. "
            f"Received: {largest}."
        )
    return rows
