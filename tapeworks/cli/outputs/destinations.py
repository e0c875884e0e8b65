"""Destinations of outputs: a new file, one that is there, a device or a pipe."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from tapeworks.errors import UsageError
from tapeworks.workers.streams import STDOUT

#: The directories whose entries are this process's own descriptors.
DESCRIPTORS = ("/proc/self/fd", "/dev/fd")

#: Links that are followed in search of a descriptor; the operating system follows no more.
MOST_LINKS = 40


class Kind(Enum):
    """The ways in which an output is written."""

    NEW = auto()  #: complete, under another name, and then renamed
    FILE = auto()  #: likewise, or into the file where it would not stay what it is
    DIRECTORY = auto()  #: likewise
    PIPE = auto()  #: a FIFO or a character device: opened and written
    DESCRIPTOR = auto()  #: one of this process: written, never opened again


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """The meaning of an output's path."""

    path: Path  #: as the user named it
    place: Path  #: where its links lead
    kind: Kind
    descriptor: int = -1

    @property
    def is_stream(self) -> bool:
        """True if what is written there is gone: nothing is replaced, and nothing is kept."""
        return self.kind in {Kind.PIPE, Kind.DESCRIPTOR}


def destination(path: Path) -> Destination:
    """Find out what the path stands for. Raises `UsageError`, and `OSError` for a loop of links."""
    number = _descriptor(path)
    if number is not None:
        return Destination(path=path, place=path, kind=Kind.DESCRIPTOR, descriptor=number)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):  # also of a link that leads nowhere yet
        return Destination(path=path, place=_place(path), kind=Kind.NEW)
    return Destination(path=path, place=_place(path), kind=_kind(path, mode))


def full_name(path: Path) -> str:
    """Return the whole name of an output; of a descriptor there is none behind its links."""
    return str(path.absolute() if is_stream(path) else path.resolve())


def is_stream(path: Path) -> bool:
    """Check whether a device, a pipe or a descriptor is there."""
    try:
        return destination(path).is_stream
    except (OSError, UsageError):  # the check of the place says what is wrong with it
        return False


def is_stdout(path: Path) -> bool:
    """Check whether the path leads to standard output, as /dev/stdout does."""
    return _descriptor(path) == STDOUT


def _place(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _kind(path: Path, mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.DIRECTORY
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        return Kind.PIPE
    what = "a disk" if stat.S_ISBLK(mode) else "a socket"
    raise UsageError(f"Expected the name of a file to write. Received: {what}: {path}.")


def _descriptor(path: Path) -> int | None:
    """The number that the path stands for; what such a link leads to may have no name."""
    own = {os.path.realpath(directory) for directory in DESCRIPTORS}
    for _ in range(MOST_LINKS):
        if path.name.isdecimal() and os.path.realpath(path.parent) in own:
            return int(path.name)
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None
