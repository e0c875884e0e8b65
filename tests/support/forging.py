"""Histories doctored behind the program's back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy import text

from tapeworks.storage.history import History

#: A ledger's lines: first image, number of images, then what tells the answer.
Lines = list[list[int]]
Change = Callable[[Lines], Lines]


def forge(history: History, statement: str, **values: object) -> None:
    """Execute a statement that changes something."""
    with history.database.write() as connection:
        assert connection.execute(text(statement), values).rowcount > 0


def forge_ledger(file: Path, iteration: int, size: int, change: Change) -> None:
    """Change the ledger of one iteration of every run, given a line for each microbatch."""
    with closing(sqlite3.connect(file)) as connection:
        query = "SELECT run, ledger FROM stored_iterations WHERE iteration = ?"
        rows = connection.execute(query, (iteration,)).fetchall()
        assert rows, f"there is no iteration {iteration}"
        for run, ledger in rows:
            lines = split(json.loads(ledger), size)
            changed = change([line.copy() for line in lines])
            assert changed != lines
            connection.execute(
                "UPDATE stored_iterations SET ledger = ? WHERE iteration = ? AND run = ?",
                (json.dumps(changed), iteration, run),
            )
        connection.commit()


def split(lines: Lines, size: int) -> Lines:
    """The lines with one for each microbatch of this size."""
    return [
        [place, min(size, first + count - place), *answer]
        for first, count, *answer in lines
        for place in range(first, first + count, size)
    ]


def without(microbatch: int) -> Change:
    """Lose a microbatch."""
    return lambda lines: lines[:microbatch] + lines[microbatch + 1 :]


def counting(microbatch: int, images: int) -> Change:
    """Have a microbatch claim another number of images."""

    def change(lines: Lines) -> Lines:
        lines[microbatch][1] = images
        return lines

    return change


def beginning(microbatch: int, place: int) -> Change:
    """Have a microbatch claim to begin elsewhere."""

    def change(lines: Lines) -> Lines:
        lines[microbatch][0] = place
        return lines

    return change


def again(microbatch: int, place: int) -> Change:
    """Count the image at a place once more, with a microbatch's answer."""
    return lambda lines: [*lines, [place, 1, *lines[microbatch][2:]]]


def emptied(lines: Lines) -> Lines:
    """No ledger at all."""
    return []
