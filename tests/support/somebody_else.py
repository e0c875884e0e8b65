"""Directories of somebody else, in which this process may read and nothing more."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.postgres import UNPRIVILEGED


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
    is_root, group = os.geteuid() == 0, os.getegid()
    if is_root:
        os.setegid(pwd.getpwnam(UNPRIVILEGED).pw_gid)
        os.seteuid(pwd.getpwnam(UNPRIVILEGED).pw_uid)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
            os.setegid(group)
        for path, mode in before.items():
            path.chmod(mode)
