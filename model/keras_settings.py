"""Keras's file of settings, which TensorFlow reads too, kept from what is loaded here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

#: Names the directory of that file, and of Keras's downloads.
VARIABLE = "KERAS_HOME"

#: A directory that cannot be made, so that nothing is read from it or written into it.
NOWHERE = f"{os.devnull}/keras"

#: The prefix of all variables that Keras reads.
_PREFIX = "KERAS_"

#: Those that are set while Keras is loaded.
_SETTINGS = {VARIABLE: NOWHERE, "KERAS_BACKEND": "tensorflow"}


@contextmanager
def without_keras_settings() -> Iterator[None]:
    """Keep Keras and TensorFlow from the user's file and variables while they are imported.

    Another precision or backend would change bits, a wrong value would end the import, and Keras
    would write a new file, without a home directory into one called ~ where the user works.
    """
    named = _read_variables()
    _replace_variables(_SETTINGS)
    try:
        yield
    finally:
        _replace_variables(named)


def _read_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_PREFIX)}


def _replace_variables(values: dict[str, str]) -> None:
    for name in _read_variables().keys() - values.keys():
        del os.environ[name]
    os.environ.update(values)
