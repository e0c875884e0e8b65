"""Keras's file of settings, which TensorFlow reads too, kept from what is loaded here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

#: Names the directory of that file, and of Keras's downloads.
VARIABLE = "KERAS_HOME"

#: A directory that cannot be made, so that nothing is read from it or written into it.
NOWHERE = f"{os.devnull}/keras"


@contextmanager
def without_keras_settings() -> Iterator[None]:
    """Keep Keras and TensorFlow from the user's file while they are imported.

    A wrong value in it would end the import, and Keras would write a new file, without a home
    directory into one called ~ where the user works.
    """
    named = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = NOWHERE
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if named is not None:
            os.environ[VARIABLE] = named
