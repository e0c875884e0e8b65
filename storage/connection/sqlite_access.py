"""Ways to open an SQLite file: for writing, or for reading without a file left beside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

from tapeworks.storage.errors import StorageRefused, StorageUnreachable

#: The bytes of a file's header that say whether it is read with a write-ahead log, and their value.
_MODE_BYTES, _WRITE_AHEAD = slice(18, 20), b"\x02\x02"


class Access(StrEnum):
    """The rights of this process on a file."""

    WRITE = "write"  #: everything; SQLite makes and removes what it keeps beside the file
    #: Read, with SQLite's locks: either they are in the file, or what stands beside it is complete.
    READ = "mode=ro&readonly_shm=1"
    #: Read without locks, because nothing can be made beside it, and nothing is there to be read.
    #: Only while the file stays as it is: see `stamp`.
    FROZEN = "mode=ro&immutable=1"


@dataclass(frozen=True, slots=True)
class Stamp:
    """The state of a file, which differs after it was written to."""

    inode: int
    size: int
    changed_ns: int


def access_to(file: Path) -> Access:
    """Return what may be done with the file.

    Raises `StorageUnreachable` if part of it is missing, `StorageRefused` for what is no file.
    A file that is not there may be made, as far as we know; SQLite tells.
    """
    log, index = (file.with_name(file.name + ending) for ending in ("-wal", "-shm"))
    if not _may(file, os.R_OK):
        return Access.WRITE
    if not file.is_file():
        kind = "a directory" if file.is_dir() else "a pipe, a socket or a device"
        raise StorageRefused(
            f"Expected the file of a database. Received: {kind}: {file}. Name another file"
        )
    has_log = log.exists() and index.exists()
    if _may(file, os.W_OK) and (
        _may(file.parent, os.W_OK) or (has_log and _may(log, os.W_OK) and _may(index, os.W_OK))
    ):
        return Access.WRITE
    if has_log or not _is_write_ahead(file):
        return Access.READ
    if log.exists() and log.stat().st_size:
        raise StorageUnreachable(
            f"The database {file} may only be read, and {log.name} beside it holds what is not in "
            f"it yet. Copy both into a directory of yours, and name the copy"
        )
    return Access.FROZEN


def uri_of(file: Path, access: Access, *, writes: bool = False) -> str:
    """Return SQLite's name for a file that is there; it is only read unless one `writes`."""
    mode = f"mode={'rw' if writes else 'ro'}" if access is Access.WRITE else access.value
    return f"file:{quote(str(file))}?{mode}"


def file_changed_error(file: Path) -> StorageUnreachable:
    """Return the error of a file that was read without locks: it may be of two states."""
    return StorageUnreachable(f"The database {file} was changed while it was read. Try again")


def is_missing(file: Path) -> bool:
    """Check that nothing is there. Of a place that cannot be looked at, SQLite says why."""
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def is_empty(file: Path) -> bool:
    """Check for a file without a byte, which SQLite would take for a database."""
    found = stamp(file)
    return found is not None and found.size == 0 and file.is_file()


def stamp(file: Path) -> Stamp | None:
    """Return the file's stamp, or None for a file that is not there or cannot be reached."""
    try:
        found = file.stat()
    except OSError:  # SQLite says itself what is wrong with it
        return None
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns)


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _is_write_ahead(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(_MODE_BYTES.stop)[_MODE_BYTES] == _WRITE_AHEAD
