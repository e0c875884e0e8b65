"""Keras's file of settings, which TensorFlow reads too, kept from what is loaded here."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

#: Names the directory of that file, and of Keras's downloads.
VARIABLE = "KERAS_HOME"


@contextmanager
def without_keras_settings() -> Iterator[None]:
    """Name an empty directory for a time, in which Keras and TensorFlow can be imported.

    A wrong value in the user's file would end the import, and Keras would write a new file.
    """
    named = os.environ.get(VARIABLE)
    with tempfile.TemporaryDirectory(prefix="tapeworks-keras-") as directory:
        os.environ[VARIABLE] = directory
        try:
            yield
        finally:
            del os.environ[VARIABLE]
            if named is not None:
                os.environ[VARIABLE] = named
