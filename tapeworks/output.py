"""Where a command's results and words go: data to stdout or a file, words to stderr."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tapeworks.errors import UsageError
from tapeworks.settings import settings
from workers.printable import visible as visible
from workers.printable import visible_lines as visible_lines

#: Between the columns of a table.
GAP = "  "


def say(sentence: str) -> None:
    """Words for a person, on one line."""
    print(visible(sentence), file=sys.stderr, flush=True)  # noqa: T201


def put(text: str) -> None:
    """Data, of one line or several."""
    print(visible_lines(text), flush=True)  # noqa: T201


def put_lines(lines: Iterable[str]) -> None:
    """Data, each text on one line, whatever it holds."""
    put("\n".join(map(visible, lines)))


def put_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()
) -> None:
    """Columns as wide as their widest cell; the same on a terminal and in a pipe.

    Those at the places `right` end at their right.
    """
    lines = [[visible(cell) for cell in row] for row in (headers, *rows)]
    widths = _widths(lines)
    for line in lines:
        cells = (
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        put(GAP.join(cells).rstrip())


def table_width(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Characters that `put_table` needs in a line."""
    lines = [[visible(cell) for cell in row] for row in (headers, *rows)]
    return len(GAP.join(" " * width for width in _widths(lines)))


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*lines, strict=True)]


def check_writable(path: Path) -> None:
    """Raise `UsageError` unless a file can be written there, before any work is done for it."""
    with _told_of(path):
        if path.is_dir():
            raise UsageError(f"Expected the name of a file to write. Received a directory: {path}.")
        _check_place(path)


def check_directory_writable(path: Path, mark: str) -> None:
    """Raise `UsageError` unless a directory can be written there.

    One that stands there is replaced if it is empty or holds a file named `mark`, as those of its
    kind do; anything else is left alone.
    """
    with _told_of(path):
        if path.exists() and not (path / mark).is_file() and not _is_empty_directory(path):
            raise UsageError(
                f"{path} is in the way: it is no directory with a {mark}, and is left alone. "
                "Name another place."
            )
        _check_place(path)


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    check_writable(path)
    with written_whole(path) as complete:
        complete.write_bytes(content)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Where to write a file or a directory, which is moved to `path` when it is complete."""
    with (
        _told_of(path),
        tempfile.TemporaryDirectory(dir=path.parent, prefix=".tapeworks-") as directory,
    ):
        complete = Path(directory) / path.name
        yield complete
        if path.is_dir():  # nothing can be moved to where a directory is that is not empty
            path.replace(Path(directory) / f"{path.name}.old")
        complete.replace(path)


def _check_place(path: Path) -> None:
    from storage.database import Database  # SQL, which commands that write no file do without

    if not path.parent.is_dir():
        raise UsageError(
            f"The directory {path.parent} of {path.name} does not exist; create it first."
        )
    if path.exists() and not os.access(path, os.W_OK):
        raise UsageError(f"{path} cannot be written: permission denied.")
    if Database(settings().database_url).owns(path):
        raise UsageError(
            f"{path} is in the way: it is a file of the database, or has it within, and is left "
            "alone. Name another place."
        )
    tempfile.TemporaryFile(dir=path.parent).close()  # what is allowed is not always possible


def _is_empty_directory(path: Path) -> bool:
    return path.is_dir() and next(path.iterdir(), None) is None


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
