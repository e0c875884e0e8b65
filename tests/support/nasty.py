"""Texts that would do harm where they are printed, and whether something printed is harmless."""

from __future__ import annotations

import csv
import io
import sqlite3
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

#: Each by what it would do.
TEXTS = {
    "clears the screen": "\x1b[2J\x1b[1;1Hgone",
    "sets a title": "\x1b]0;title\x07",
    "one byte that begins a sequence": "\x9b31mred",
    "says another line": "fine\nRun 1 is completed\r\nand more",
    "goes back": "truth\rlie\b\b\b",
    "ends a text in C": "a\x00b",
    "reads from right to left": "abc\u202egnp.exe\u2066",
    "cannot be seen": "ad\u200bmin\ufeff\u00a0\u2028",
    "is a formula": '=HYPERLINK("https://x.example?"&A1)',
    "is a command": "@SUM(1+1)*cmd|' /C calc'!A0",
    "is a formula behind a blank": " +1+1",
    "is HTML": "</text></svg><script>alert(1)</script><img src=x onerror=alert(1)>&amp;",
    "ends a comment": "--> ]]> <!-- --",
    "is Markdown": "| a | `b` | ![c](javascript:alert(1)) \\",
    "is a formula of TeX": r"$\frac{1}{2 _ ^$ %",
    "is marked up": "[red]bold[/red] :boom: {task.total}",
    "is long": "x" * 3000,
    "is not of Europe": "手 שלום 👩‍🚀 Z͑ͫ̓",
}

#: What a spreadsheet takes for a formula.
FORMULA = tuple("=+-@\t\r\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}")

#: Elements of a picture that can do nothing but be seen, and those that tell who drew it.
DRAWING = {
    *("svg", "defs", "style", "g", "path", "use", "rect", "clipPath", "image"),
    *("metadata", "RDF", "Work", "type", "date", "format", "creator", "Agent", "title"),
}


def plant(file: Path, text: str) -> None:
    """Put the text wherever a history of another program or version might hold it."""
    with closing(sqlite3.connect(file)) as connection:
        # Later runs' names differ, as all would be called by their settings otherwise.
        connection.execute("UPDATE stored_runs SET name = ? || number", (text,))
        connection.execute("UPDATE stored_runs SET note = ?, reason = ?, owner = ?", (text,) * 3)
        connection.execute(
            "UPDATE stored_runs SET configuration = json_set(configuration, '$.data_dir', ? || id)",
            (text,),
        )
        connection.execute("UPDATE stored_events SET kind = ?, message = ?", (text, text))
        connection.execute("UPDATE stored_workers SET name = ? || number", (text,))
        connection.execute(
            "INSERT INTO stored_tags (run_id, key, value) SELECT id, ?, ? FROM stored_runs",
            (text, text),
        )
        connection.commit()


def check_terminal(printed: str) -> None:
    """Fail if anything but letters and ends of lines would reach a terminal."""
    odd = {char for char in printed if not (char.isprintable() or char == "\n")}
    assert not odd, f"{odd} in {printed!r}"


def check_csv(printed: str, rows: int) -> None:
    """Fail unless these are so many rows, none of whose texts a spreadsheet would compute."""
    check_terminal(printed)
    heading, *found = csv.reader(io.StringIO(printed, newline=""))
    assert len(found) == rows
    assert {len(row) for row in found} == {len(heading)}
    for cell in (cell for row in found for cell in row):
        assert not cell.lstrip(" \n").startswith(FORMULA) or _is_number(cell), cell


def check_svg(content: str) -> None:
    """Fail if a picture is no XML, runs anything or points anywhere but into itself."""
    for element in ElementTree.fromstring(content).iter():
        assert element.tag.rpartition("}")[2] in DRAWING, element.tag
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            if name.endswith("href"):
                assert value.startswith(("#", "data:image/png;base64,")), value


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
