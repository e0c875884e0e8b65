"""Keras's cache of downloads, shared with every Keras program of this user."""

from __future__ import annotations

import os
from pathlib import Path

from tapeworks.model.environment import expand_home, path_variable
from tapeworks.model.errors import DatasetError
from tapeworks.model.keras_settings import VARIABLE

#: Where Keras itself gets MNIST from, and what it expects there.
MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


def mnist_file() -> Path:
    """The verified mnist.npz of Keras's cache, downloaded when it is not there or another.

    Raises `DatasetError` when it can neither be found nor downloaded; the cache is then as before.
    """
    import pooch

    cache = _keras_home() / "datasets"
    try:
        path = pooch.retrieve(MNIST_URL, f"sha256:{MNIST_SHA256}", fname="mnist.npz", path=cache)
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
