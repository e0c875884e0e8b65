"""A complete output moved to its place: what is there keeps its mode, owner and attributes."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

from tapeworks.cli.outputs.printing import say

#: What renaming fails with where writing into the file may do: it is a mount point, its directory
#: is sticky or may not be written, or lies on another file system than what was written.
UNMOVABLE = {errno.EBUSY, errno.EPERM, errno.EACCES, errno.EXDEV, errno.EROFS}


def deliver_file(complete: Path, place: Path) -> None:
    """Put a complete file in its place, by renaming, else by writing into the file that is there.

    A file that has other names, or whose owner or attributes a new one cannot be given, is written
    into as well.
    """
    if not (_resembles(complete, place) and _rename(complete, place)):
        with complete.open("rb") as content:
            _overwrite(content, place)


def deliver_directory(complete: Path, place: Path) -> None:
    """Put a complete directory in its place, else its entries where the place cannot be moved."""
    if not place.is_dir():
        _move(complete, place)
        return
    if not _replace(complete, place):
        _exchange_entries(complete, place)


def pour(content: BinaryIO, place: Path) -> None:
    """Write into a device or a pipe; of a pipe this waits until a reader opens it, and says so."""
    number = _open(place)
    with open(number, "wb") as stream:  # noqa: PTH123
        shutil.copyfileobj(content, stream)


def _open(place: Path) -> int:
    try:
        number = os.open(place, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        say(f"Waiting for a reader of {place}")
        return os.open(place, os.O_WRONLY | os.O_NOCTTY)
    os.set_blocking(number, True)
    return number


def _move(complete: Path, place: Path) -> None:
    if not _rename(complete, place):
        shutil.move(complete, place)


def _rename(complete: Path, place: Path) -> bool:
    try:
        complete.replace(place)
    except OSError as error:
        if error.errno in UNMOVABLE:
            return False
        raise
    return True


def _replace(complete: Path, place: Path) -> bool:
    """Nothing can be moved to where a directory is that is not empty, so that one goes first."""
    if not _resembles(complete, place) or place in complete.parents:
        return False
    old = complete.with_name("old")
    if not _rename(place, old):
        return False
    try:
        complete.replace(place)
    except OSError:
        old.replace(place)
        raise
    return True


def _resembles(complete: Path, place: Path) -> bool:
    """Make the complete file like the one that is there; True if it can take its place."""
    try:
        old = place.stat()
    except FileNotFoundError:
        return True
    if old.st_nlink > 1 and complete.is_file():
        return False
    try:
        _take_over(complete, old)
        _take_over_attributes(complete, place)
    except OSError:
        return False
    return True


def _take_over(complete: Path, old: os.stat_result) -> None:
    """Owner first: changing it takes bits of the mode away."""
    new = complete.stat()
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        os.chown(complete, old.st_uid, old.st_gid)
    complete.chmod(stat.S_IMODE(old.st_mode))


def _take_over_attributes(complete: Path, place: Path) -> None:
    """Access lists, labels and what users attach; macOS has no calls for them in Python."""
    if not hasattr(os, "listxattr"):
        return
    new = _attributes(complete)
    for name, value in _attributes(place).items():
        if new.get(name) != value:
            os.setxattr(complete, name, value)


def _attributes(path: Path) -> dict[str, bytes]:
    try:
        return {name: os.getxattr(path, name) for name in os.listxattr(path)}
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise


def _overwrite(content: BinaryIO, place: Path) -> None:
    """Write into the file itself; without room for it all, it stays as it was.

    One that has to be made, on another file system, gets the mode of the complete one: a backup is
    its owner's alone.
    """
    found = os.fstat(content.fileno())
    size = found.st_size
    number = os.open(place, os.O_WRONLY | os.O_CREAT, stat.S_IMODE(found.st_mode))
    with open(number, "wb") as file:  # noqa: PTH123
        _reserve(number, size)
        shutil.copyfileobj(content, file)
        file.truncate(size)
        file.flush()
        os.fsync(number)


def _reserve(number: int, size: int) -> None:
    before = os.fstat(number).st_size
    if not hasattr(os, "posix_fallocate") or size <= before:
        return
    try:
        os.posix_fallocate(number, before, size - before)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            os.ftruncate(number, before)
            raise


def _exchange_entries(complete: Path, place: Path) -> None:
    """Replace what a directory holds; the new entries are on its file system before the old go."""
    with tempfile.TemporaryDirectory(dir=place, prefix=".tapeworks-") as directory:
        new = Path(shutil.move(complete, Path(directory) / "new"))
        for entry in place.iterdir():
            if entry != Path(directory) and entry not in complete.parents:
                _remove(entry)
        for entry in new.iterdir():
            entry.replace(place / entry.name)


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()
