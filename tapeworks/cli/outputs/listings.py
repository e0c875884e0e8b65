"""Results of queries as a table for people, or as CSV, JSON or Markdown."""

from __future__ import annotations

import csv
import functools
import html
import io
import math
import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

import click

from tapeworks.cli.outputs.describe import as_json
from tapeworks.cli.outputs.printing import put, put_table, table_width, visible, visible_lines
from tapeworks.errors import UsageError
from tapeworks.storage.actors import own_actor
from tapeworks.storage.queries.differing import choose_spare
from tapeworks.storage.queries.listing import Listing, Value

#: What a spreadsheet takes for the beginning of a formula, a Japanese one also in full width.
_FORMULA = tuple(
    "=+-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"
    "\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
)

#: What means something else in Markdown than itself, but for HTML. An underscore within a word
#: is one, as in the name of most columns.
_MARKS = re.compile(r"[\\|`*\[\]~]|(?<!\w)_|_(?!\w)")

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.I)

_Command = Callable[..., int]


class Form(StrEnum):
    """The format of a printed listing."""

    TABLE = "table"  #: for people: six digits of a number
    CSV = "csv"  #: all digits, times in UTC
    JSON = "json"  #: an object for each row
    MARKDOWN = "markdown"  #: a table for a document


def with_form_options(command: _Command) -> _Command:
    """Give a command the options `--format` and `--json`; it gets the form as `form`."""

    @functools.wraps(command)
    def wrapper(form: str | None, json: bool, **arguments: Any) -> int:
        if json and form not in {None, Form.JSON}:
            raise UsageError(f"--json and --format {form} exclude each other; choose one.")
        chosen = Form.JSON if json else Form(form or Form.TABLE)
        return command(form=chosen, **arguments)

    forms = click.Choice([form.value for form in Form])
    formed = click.option("--format", "form", type=forms, help="[default: table]")(wrapper)
    decorated: _Command = click.option("--json", is_flag=True, help="print JSON")(formed)
    return decorated


def put_listing(found: Listing, form: Form) -> None:
    """Print it in this form, with the columns' names even if there is no row."""
    if form is Form.TABLE:
        put_table(found.columns, _texts(found), number_columns(found))
    elif form is Form.JSON:
        put(as_json(as_objects(found)))
    else:
        put((as_csv if form is Form.CSV else as_markdown)(found))


def as_objects(found: Listing) -> list[dict[str, Any]]:
    """The rows by their columns' names. Raises `UsageError` where two columns share one."""
    twice = {name for name in found.columns if found.columns.count(name) > 1}
    if twice:
        raise UsageError(
            f"Two columns are called {min(twice)}; name one of them otherwise: … AS another_name"
        )
    return [
        {name: _finite(cell) for name, cell in zip(found.columns, row, strict=True)}
        for row in found.rows
    ]


def as_csv(found: Listing) -> str:
    """Comma-separated; what a spreadsheet would take for a formula gets a quote before it."""
    return "\n".join(_csv_line(row) for row in (found.columns, *found.rows))


def as_markdown(found: Listing) -> str:
    """A Markdown table, numbers to the right."""
    numbers = number_columns(found)
    rule = ["---:" if place in numbers else "---" for place in range(len(found.columns))]
    heading, *rows = [[_escape(cell) for cell in row] for row in (found.columns, *_texts(found))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heading, rule, *rows))


def _escape(text: str) -> str:
    """Text that stays within its cell, as it is: no formatting, no link, no HTML."""
    return _MARKS.sub(r"\\\g<0>", html.escape(visible(text), quote=False))


def _texts(found: Listing) -> list[list[str]]:
    return [[cell_text(cell) for cell in row] for row in found.rows]


def cell_text(cell: Value) -> str:
    """A value for people: six digits of a number with a fraction."""
    if cell is None:
        return "-"
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)


def drop_settings(
    columns: dict[str, list[str]], settings: dict[str, list[Any]], widest: int
) -> list[str]:
    """Take columns of settings out of a table until a line has room for it; return their names."""
    left_out = list[str]()
    while settings and _width(columns) > widest:
        name = choose_spare(settings)
        left_out.append(name)
        del settings[name], columns[name.upper()]
    return left_out


def has_others(found: Listing) -> bool:
    """Check that runs of another user than this process's are listed."""
    own = own_actor().user
    return any(user not in {None, own} for user in found.column("submitter"))


def _width(columns: dict[str, list[str]]) -> int:
    """Characters of a line before the reason, which may go beyond."""
    counted = {heading: texts for heading, texts in columns.items() if heading != "REASON"}
    return table_width(list(counted), list(zip(*counted.values(), strict=True)))


def number_columns(found: Listing) -> set[int]:
    """The places of columns of numbers."""
    return {
        place
        for place, column in enumerate(zip(*found.rows, strict=True))
        if all(cell is None or isinstance(cell, int | float) for cell in column)
    }


def _csv_line(row: Sequence[Value]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(map(harmless, row))  # so both are quoted
    return text.getvalue().removesuffix("\r\n")


def harmless(cell: Value) -> Value:
    """The value, or text that no spreadsheet takes for a formula and no terminal for a command."""
    if not isinstance(cell, str):
        return cell
    text = visible_lines(cell)
    dangerous = text.lstrip().startswith(_FORMULA) and not _NUMBER.fullmatch(text)
    return f"'{text}" if dangerous else text


def _finite(cell: Value) -> Value:
    """JSON knows no infinity, and PostgreSQL writes it like this."""
    if isinstance(cell, float) and not math.isfinite(cell):
        return "NaN" if math.isnan(cell) else "Infinity" if cell > 0 else "-Infinity"
    return cell
