"""Directories of somebody else, in which this process may read and nothing more."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.postgres import UNPRIVILEGED

#: Linux' layout of capabilities, of two times three words.
CAPABILITY_VERSION = 0x20080522

#: CAP_DAC_OVERRIDE: a process that has it may write where modes forbid it.
MODES_IGNORED = 1 << 1


@contextmanager
def foreign_directory() -> Iterator[Path]:
    """A new directory that everybody may enter, gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="tapeworks-foreign-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        directory.chmod(0o755)
        shutil.rmtree(directory)


@contextmanager
def without_rights(directory: Path) -> Iterator[None]:
    """Meanwhile nothing in the directory may be written by this process, be it root's."""
    paths = [directory, *directory.iterdir()]
    before = {path: path.stat().st_mode for path in paths}
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
        if os.geteuid() == 0:
            shutil.chown(path, UNPRIVILEGED)
    try:
        with _as_any_user():
            yield
    finally:
        for path, mode in before.items():
            path.chmod(mode)


@contextmanager
def _as_any_user() -> Iterator[None]:
    """Take from root the right to write where modes forbid it; it stays the user who may start us.

    Another user might not reach the interpreter, which a query starts a process of.
    """
    if os.geteuid() != 0:
        yield
        return
    effective, permitted, inheritable = _capabilities()
    _set_capabilities((effective & ~MODES_IGNORED, permitted, inheritable))
    try:
        yield
    finally:
        _set_capabilities((effective, permitted, inheritable))


def _capabilities() -> tuple[int, int, int]:
    """Return the effective, permitted and inheritable capabilities of this thread, of 32 bits."""
    data = (ctypes.c_uint32 * 6)()
    _call("capget", data)
    return data[0], data[1], data[2]


def _set_capabilities(sets: tuple[int, int, int]) -> None:
    data = (ctypes.c_uint32 * 6)()
    _call("capget", data)  # the upper halves stay as they are
    data[0:3] = list(sets)
    _call("capset", data)


def _call(name: str, data: ctypes.Array[ctypes.c_uint32]) -> None:
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)  # 0: this thread
    if getattr(ctypes.CDLL(None, use_errno=True), name)(header, data) != 0:
        raise OSError(ctypes.get_errno(), f"{name} failed")
