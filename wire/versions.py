"""Versions of what a process runs, without importing any of it."""

from __future__ import annotations

import functools
import platform
from importlib.metadata import PackageNotFoundError, version


@functools.cache
def tapeworks_version() -> str:
    """Of Tapeworks."""
    return _find_version("tapeworks")


@functools.cache
def tensorflow_version() -> str:
    """Of TensorFlow, whichever of its packages is installed."""
    return _find_version("tensorflow-cpu", "tensorflow")


@functools.cache
def python_version() -> str:
    """Of Python."""
    return platform.python_version()


def _find_version(*packages: str) -> str:
    """The version of the first of these that is there; empty if none is."""
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return ""
