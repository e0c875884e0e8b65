"""MNIST, from a directory of its files or from Keras's cache."""

from __future__ import annotations

import os
from pathlib import Path

from tapeworks.model.datasets.readers import read_arrays, read_idx
from tapeworks.model.datasets.source import Part, Source
from tapeworks.model.datasets.validation import validate_grey_part
from tapeworks.model.environment import expand_home, path_variable
from tapeworks.model.errors import DatasetError
from tapeworks.model.keras_settings import VARIABLE
from tapeworks.model.settings import Settings

#: Where Keras itself gets MNIST from, and what it expects there.
MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"

#: The name of that file, there and in Keras's cache.
MNIST_NAME = "mnist.npz"

#: Training and test part, as their files are named.
PARTS = ("train", "t10k")

#: Rows and columns of its images.
MNIST_SIDE = 28


def mnist_file() -> Path:
    """The verified mnist.npz of Keras's cache, downloaded when it is not there or another.

    Raises `DatasetError` when it can neither be found nor downloaded; the cache is then as before.
    """
    import pooch

    cache = _keras_home() / "datasets"
    try:
        path = pooch.retrieve(MNIST_URL, f"sha256:{MNIST_SHA256}", fname=MNIST_NAME, path=cache)
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"MNIST could not be downloaded from {MNIST_URL} into {cache} ({error}). "
            "Give a directory that holds its files with --data-dir, or use --dataset digits."
        ) from error
    return Path(path)


def _keras_home() -> Path:
    try:
        return path_variable(os.environ, VARIABLE) or Path(expand_home("~/.keras"))
    except ValueError as error:
        raise DatasetError(
            "MNIST is kept in the home directory, and there is none. Give a directory that holds "
            "its files with --data-dir, or set HOME."
        ) from error


def read_mnist(data_dir: str | None) -> Source:
    """MNIST from this directory, else from TAPEWORKS_DATA_DIR, else from Keras's cache.

    Raises `DatasetError` for files that are missing or damaged, and for a download that fails.
    """
    directory = Path(data_dir) if data_dir else Settings(os.environ).data_dir
    return _read_directory(directory) if directory else _read_npz(mnist_file())


def has_cached_mnist() -> bool:
    """Check that Keras's cache has the verified file."""
    import pooch

    try:
        file = _keras_home() / "datasets" / MNIST_NAME
    except DatasetError:
        return False
    return file.is_file() and bool(pooch.file_hash(str(file)) == MNIST_SHA256)


def _read_directory(directory: Path) -> Source:
    """A directory with only one of MNIST's two parts serves it as the training part."""
    if not directory.is_dir():
        raise DatasetError(
            f"There is no directory {directory} to read MNIST from. "
            f"Give another with --data-dir or {Settings.data_dir.variable}, "
            "or use --dataset digits."
        )
    parts = [part for name in PARTS if (part := _read_idx_part(directory, name))]
    if parts:
        return Source(training=parts[0], held_out=parts[1] if len(parts) > 1 else None)
    if (directory / MNIST_NAME).is_file():
        return _read_npz(directory / MNIST_NAME)
    raise DatasetError(
        f"There are no MNIST files in {directory}. Expected train-images-idx3-ubyte and "
        "train-labels-idx1-ubyte, the same of t10k, each maybe with .gz, or mnist.npz."
    )


def has_mnist(directory: Path) -> bool:
    """Check that there is a file of MNIST's names in this directory."""
    idx = (
        _find(directory, f"{name}-{kind}", form)
        for name in PARTS
        for kind, form in (("images", "idx3-ubyte"), ("labels", "idx1-ubyte"))
    )
    return (directory / MNIST_NAME).is_file() or any(idx)


def _read_npz(path: Path) -> Source:
    arrays = read_arrays(path, "x_train", "y_train", "x_test", "y_test")
    return Source(
        training=validate_grey_part(path, *arrays[:2]),
        held_out=validate_grey_part(path, *arrays[2:]),
    )


def _read_idx_part(directory: Path, name: str) -> Part | None:
    images = _find(directory, f"{name}-images", "idx3-ubyte")
    labels = _find(directory, f"{name}-labels", "idx1-ubyte")
    if images and labels:
        return validate_grey_part(images, read_idx(images, 3), read_idx(labels, 1))
    if found := images or labels:
        missing = f"{name}-labels-idx1-ubyte" if images else f"{name}-images-idx3-ubyte"
        raise DatasetError(f"There is {found.name} in {directory}, but no {missing} beside it.")
    return None


def _find(directory: Path, stem: str, kind: str) -> Path | None:
    names = (f"{stem}{mark}{kind}{suffix}" for mark in "-." for suffix in ("", ".gz"))
    return next((path for name in names if (path := directory / name).is_file()), None)
