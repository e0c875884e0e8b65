"""A command's results and words: data to stdout, words to stderr.

The streams of the command line never fail: see `tapeworks.workers.streams`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Sequence

from tapeworks.cli.interrupts import was_interrupted
from tapeworks.errors import EXPECTED
from tapeworks.workers.printable import visible as visible
from tapeworks.workers.printable import visible_lines as visible_lines

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


def succeeds(what: str, make: Callable[[], None]) -> bool:
    """Make an output of work that is done; False, with a sentence, if that is impossible.

    Whatever happens, the work itself is not lost and has not failed.
    """
    try:
        make()
    except Exception as error:  # drawing may raise anything, as its configuration may
        if was_interrupted():
            raise KeyboardInterrupt from error
        reason = str(error) if isinstance(error, EXPECTED) else f"{type(error).__name__}: {error}"
        say(" ".join(f"tapeworks: The {what} cannot be shown: {reason}".split()))
        return False
    return True


def put_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()
) -> None:
    """Columns as wide as their widest cell; the same on a terminal and in a pipe.

    Those at the places `right` end at their right.
    """
    for line in table_lines(headers, rows, right):
        put(line)


def table_lines(
    headers: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()
) -> list[str]:
    """Return the lines of such a table."""
    lines = [[visible(cell) for cell in row] for row in (headers, *rows)]
    widths = _widths(lines)
    return [
        GAP.join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def table_width(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Characters that `put_table` needs in a line."""
    lines = [[visible(cell) for cell in row] for row in (headers, *rows)]
    return len(GAP.join(" " * width for width in _widths(lines)))


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*lines, strict=True)]
