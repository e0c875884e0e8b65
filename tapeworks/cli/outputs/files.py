"""Outputs as files: checked before any work is done for them, and written as what is there asks."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tapeworks.cli.outputs.delivery import deliver_directory, deliver_file, pour
from tapeworks.cli.outputs.destinations import Destination, Kind, destination, full_name, is_stdout
from tapeworks.cli.outputs.printing import put_lines, say
from tapeworks.errors import OutputFailed, UsageError
from tapeworks.places import find_places
from tapeworks.workers.streams import STDOUT


def check_writable(path: Path) -> None:
    """Raise `UsageError` unless a file can be written there, before any work is done for it."""
    with _raising(UsageError, path):
        found = destination(path)
        if found.kind is Kind.DIRECTORY:
            raise UsageError(
                f"Expected the name of a file to write. Received: a directory: {path}."
            )
        if found.kind is Kind.DESCRIPTOR:
            _check_descriptor(found)
        elif found.kind is Kind.PIPE:
            _check_permission(found)
        else:
            _check_place(found)


def check_directory_writable(path: Path, mark: str) -> None:
    """Raise `UsageError` unless a directory can be written there.

    One that stands there is replaced if it is empty or holds a file named `mark`, as those of its
    kind do; anything else is left alone.
    """
    with _raising(UsageError, path):
        found = destination(path)
        is_ours = found.kind is Kind.DIRECTORY and (
            (path / mark).is_file() or next(path.iterdir(), None) is None
        )
        if found.kind is not Kind.NEW and not is_ours:
            raise UsageError(
                f"{path} is in the way: it is no directory with a {mark}, and is left alone. "
                "Name another place."
            )
        _check_place(found)


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, or into the device or pipe that is there.

    Raises `OutputFailed`.
    """
    with _raising(OutputFailed, path):
        found = destination(path)
        if found.is_stream:
            _check_owner(found)
            _pour(io.BytesIO(content), found)
            return
    with write_whole(path) as complete:
        complete.write_bytes(content)


def put_path(path: Path) -> None:
    """Print where the output is; on stderr if stdout has the output itself."""
    if is_stdout(path):
        say(f"Written to {path}")
    else:
        put_lines([full_name(path)])


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Yield where to write a file or directory, which is delivered to `path` when it is complete.

    Raises `OutputFailed`.
    """
    with _raising(OutputFailed, path):
        found = destination(path)
        _check_owner(found)
        with tempfile.TemporaryDirectory(
            dir=_workshop(found), prefix=".tapeworks-", ignore_cleanup_errors=True
        ) as directory:
            ending = path.suffix if path.suffix.isascii() else ""
            complete = Path(directory) / f"output{ending}"
            yield complete
            _deliver(complete, found)


def _deliver(complete: Path, found: Destination) -> None:
    if found.is_stream:
        with complete.open("rb") as content:
            _pour(content, found)
    elif complete.is_dir():
        deliver_directory(complete, found.place)
    else:
        deliver_file(complete, found.place)


def _pour(content: BinaryIO, found: Destination) -> None:
    if found.kind is Kind.PIPE:
        pour(content, found.place)
    elif found.descriptor == STDOUT:  # its losses are reported like those of any other data
        shutil.copyfileobj(content, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        with open(found.descriptor, "wb", closefd=False) as stream:
            shutil.copyfileobj(content, stream)


def _workshop(found: Destination) -> Path | None:
    """Return where an output is made: beside its place if possible, else with temporary files."""
    parent = found.place.parent
    if found.is_stream or not _is_text(parent):
        return None
    try:
        tempfile.TemporaryFile(dir=parent).close()
    except OSError:
        if found.kind is Kind.DIRECTORY and os.access(found.place, os.W_OK):
            return found.place
        return None
    return parent


def _is_text(path: Path) -> bool:
    """Check that programs that know nothing but UTF-8 can write there."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_descriptor(found: Destination) -> None:
    _check_owner(found)
    mode = fcntl.fcntl(found.descriptor, fcntl.F_GETFL) & os.O_ACCMODE
    if mode == os.O_RDONLY:
        raise UsageError(f"{found.path} cannot be written: it is open for reading only.")


def _check_permission(found: Destination) -> None:
    if not os.access(found.place, os.W_OK):
        raise UsageError(f"{found.path} cannot be written: permission denied.")


def _check_place(found: Destination) -> None:
    if not found.place.parent.is_dir():
        raise UsageError(
            f"The directory {found.place.parent} of {found.path.name} does not exist; "
            "create it first."
        )
    if found.kind is not Kind.NEW:
        _check_permission(found)
    _check_owner(found)
    _try(found)


def _check_owner(found: Destination) -> None:
    from tapeworks.storage.connection.database import (
        Database,  # SQL, which commands that write no file do without
    )

    if Database(find_places().database_url).owns(found.place):
        raise UsageError(
            f"{found.path} is in the way: it is a file of the database, or has it within, and is "
            "left alone. Name another place."
        )


def _try(found: Destination) -> None:
    """Try what is allowed but not always possible: a disk may be full, or read-only."""
    if found.kind is Kind.FILE:
        os.close(os.open(found.place, os.O_WRONLY))
    elif found.kind is Kind.NEW:
        tempfile.TemporaryFile(dir=found.place.parent).close()
    elif _workshop(found) is None:
        raise UsageError(f"{found.path} cannot be written: permission denied.")


@contextmanager
def _raising(kind: type[UsageError | OutputFailed], path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise kind(f"{path} cannot be written: {error.strerror or error}.") from error
