"""`tapeworks runs` and `tapeworks query`: find runs, and ask the history anything in SQL."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from tapeworks.cli.as_typed import AsTyped, call_with
from tapeworks.cli.choices import Moment
from tapeworks.cli.completion import complete_column, complete_columns, complete_tag
from tapeworks.cli.connection import open_history
from tapeworks.cli.descriptions import pairs
from tapeworks.cli.option_kinds import Number, PathType, Status, Whole
from tapeworks.cli.outputs.describe import clock, run_losses, share_text, short_reason
from tapeworks.cli.outputs.listings import (
    Form,
    cell_text,
    drop_settings,
    has_others,
    put_listing,
    with_form_options,
)
from tapeworks.cli.outputs.printing import put_table, say
from tapeworks.errors import ExitCode, UsageError
from tapeworks.storage.actors import own_actor
from tapeworks.storage.queries.differing import is_setting, keep_differing
from tapeworks.storage.queries.listing import Listing
from tapeworks.storage.queries.query_limits import (
    DEFAULT_SECONDS,
    LONGEST_SECONDS,
    SHORTEST_SECONDS,
)
from tapeworks.storage.queries.roles import role_of
from tapeworks.storage.queries.search import count_runs, find_runs, query
from tapeworks.storage.queries.views import SETTINGS
from tapeworks.storage.records import RunStatus, loss_text

#: What is listed unless other columns are asked for; of the settings, those that differ.
COLUMNS = (
    *("id", "name", "status", "completed_iterations", "iterations"),
    *("first_loss", "final_loss", "test_loss", "test_accuracy"),
    *SETTINGS,
    *("created_at", "submitter", "submitter_host", "reason"),
)

#: The heading and the text of a column in the table for people. What no listed run has is left out.
TABLE: dict[str, tuple[str, Callable[[Any], str]]] = {
    "id": ("RUN", str),
    "name": ("NAME", cell_text),
    "status": ("STATUS", str),
    "first_loss": ("FIRST LOSS", cell_text),
    "final_loss": ("LAST LOSS", cell_text),
    "test_loss": ("HELD-OUT LOSS", loss_text),
    "test_accuracy": ("HELD-OUT ACCURACY", share_text),
    "created_at": ("CREATED", lambda moment: _clock(moment)),
    "submitter": ("BY", cell_text),
    "submitter_host": ("FROM", cell_text),
    "reason": ("REASON", short_reason),
}

#: What can be asked of runs.
CONDITIONS = ("status", "tags", "since", "where", "submitter")

#: Columns that are left out of that table where all runs lack them.
OPTIONAL = ("test_loss", "test_accuracy", "reason")

#: Characters of a line, but for the reason, up to which that table has columns of settings.
WIDEST = 160

NO_RUN = "There is no run yet; start one with: tapeworks train"
NO_RUN_FITS = "No run is like that; all of them: tapeworks runs"

#: What Windows writes before a text; no SQL begins with it.
BYTE_ORDER_MARK = "\ufeff"


@click.command(
    "runs",
    cls=AsTyped,
    epilog='Example: tapeworks runs --where "NOT final_loss < 12" --sort final_loss --asc',
)
@click.option(
    "--status",
    multiple=True,
    type=Status(),
    help="may be repeated: any of them",
)
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=complete_tag,
    help="may be repeated: all of them",
)
@click.option("--since", type=Moment(), help="submitted so long ago at most, or on a day or later")
@click.option("--mine", is_flag=True, help="submitted by this user, by name")
@click.option("--submitter", metavar="USER", help="submitted by this user, by name")
@click.option("--where", metavar="SQL", help="a condition over the columns of the view runs")
@click.option(
    "--sort",
    metavar="COLUMN",
    shell_complete=complete_column,
    default="created_at",
    show_default=True,
)
@click.option("--desc/--asc", "descending", default=True, help="  [default: --desc]")
@click.option("--limit", type=Whole(1), default=20, show_default=True, help="how many at most")
@click.option(
    "--columns",
    metavar="A,B,…",
    shell_complete=complete_columns,
    help="columns of the view runs, in this order",
)
@with_form_options
def runs_command(
    status: tuple[RunStatus, ...],
    tags: tuple[str, ...],
    columns: str | None,
    mine: bool,
    form: Form,
    **wanted: Any,
) -> int:
    """List the runs, newest first: all, or those that fulfil everything that is asked for.

    The settings in which they differ have columns of their own. A loss is the sum over the images
    of an iteration. The columns to choose from are those of the view runs, and option.NAME for an
    option of a network: see docs/queries.md.
    """
    wanted |= {"status": status, "tags": pairs(tags, "--tag")}
    if mine and wanted["submitter"]:
        raise UsageError("--mine and --submitter exclude each other; choose one.")
    wanted["submitter"] = own_actor().user if mine else wanted["submitter"]
    names = [name.strip() for name in columns.split(",")] if columns is not None else None
    history = open_history()
    history.release_abandoned()
    is_table = form is Form.TABLE and names is None
    usual = (*COLUMNS, "parent_iterations") if is_table else COLUMNS
    shown = names or (None if form is Form.JSON else usual)
    found = find_runs(history.database, columns=shown, **wanted)
    asked_for = {name: wanted[name] for name in CONDITIONS}
    found = _mark_losses(found) if is_table else found
    if names is None and form is not Form.JSON:
        found = keep_differing(found)
    if form is Form.TABLE and not found.rows:
        say(NO_RUN_FITS if any(asked_for.values()) else NO_RUN)
    elif is_table:
        _put_runs(found)
    else:
        put_listing(_as_read(found, form), form)
    if len(found.rows) == wanted["limit"]:
        _tell_of_others(len(found.rows), count_runs(history.database, **asked_for))
    return ExitCode.DONE


def _mark_losses(found: Listing) -> Listing:
    """Return the columns of the table, its losses with their images where these are unusual."""
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    marked = [tuple((row | run_losses(row))[name] for name in COLUMNS) for row in rows]
    return Listing(columns=COLUMNS, rows=tuple(marked))


def _tell_of_others(shown: int, count: int) -> None:
    if count > shown:
        say(f"{shown:,} of {count:,} runs; all of them: {call_with(limit=count)}")


def _put_runs(found: Listing) -> None:
    """Print the table for people, with as many of the differing settings as a line has room for."""
    columns = _table_columns(found)
    settings = {name: found.column(name) for name in found.columns if is_setting(name)}
    left_out = drop_settings(columns, settings, WIDEST)
    put_table(list(columns), list(zip(*columns.values(), strict=True)))
    if left_out:
        say(f"They differ also in {', '.join(left_out)}; choose with --columns")


def _table_columns(found: Listing) -> dict[str, list[str]]:
    """Return the texts of each column by its heading."""
    columns = dict[str, list[str]]()
    for name in found.columns:
        values = found.column(name)
        if name == "iterations":
            done = zip(found.column("completed_iterations"), values, strict=True)
            columns["ITERATIONS"] = [f"{completed}/{all_of_it}" for completed, all_of_it in done]
        elif name != "completed_iterations" and _is_shown(name, found):
            heading, text = TABLE.get(name, (name.upper(), cell_text))
            columns[heading] = list(map(text, values))
    return columns


def _is_shown(name: str, found: Listing) -> bool:
    if name == "test_loss":  # of networks that predict nothing
        measured = zip(found.column("test_accuracy"), found.column(name), strict=True)
        return any(accuracy is None and loss is not None for accuracy, loss in measured)
    if name in {"submitter", "submitter_host"}:
        return has_others(found)
    return name not in OPTIONAL or any(value is not None for value in found.column(name))


def _as_read(found: Listing, form: Form) -> Listing:
    """Times by this machine's clock where people read them; tags and options as JSON's objects."""
    readers: dict[str, Callable[[Any], Any]] = {}
    if form is Form.TABLE:
        readers = {name: _clock for name in found.columns if name.endswith("_at")}
    elif form is Form.JSON:
        readers = {"tags": json.loads, "options": _object}
    return found.convert(readers)


def _object(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _clock(moment: str | None) -> str:
    return clock(datetime.fromisoformat(moment).replace(tzinfo=UTC) if moment else None)


#: A comparison of a run's id with a text that is none.
_NO_ID = re.compile(r"\b(?:run_)?id\s*(?:=|in\s*\()\s*'((?!\d{8}-)[^']+)'", re.IGNORECASE)


@click.command(
    "query",
    epilog='Example: tapeworks query "SELECT id, final_loss FROM runs WHERE final_loss < 12"',
)
@click.argument("sql", required=False)
@click.option("--file", type=PathType(), help="a file that holds the SQL")
@click.option(
    "--seconds",
    type=Number(SHORTEST_SECONDS, LONGEST_SECONDS),
    default=DEFAULT_SECONDS,
    show_default=True,
    help="stop a query that takes longer",
)
@with_form_options
def query_command(sql: str | None, file: Path | None, seconds: float, form: Form) -> int:
    """Print what one SELECT finds. SQL is the query, or - to read it from the standard input.

    Nothing in the history changes. On PostgreSQL, ask as a role that only reads. The views are
    runs, iterations, images, ledger, workers, events, evaluations, checkpoints, tags, options,
    networks and deletions: see docs/queries.md.
    """
    asked = _read(sql, file)
    history = open_history()
    history.release_abandoned()
    found = query(history.database, asked, seconds=seconds)
    put_listing(found, form)
    if not found.rows:
        say(_explain_none(asked))
    role = role_of(history.database)
    if role and role.warning:
        say(role.warning)
    return ExitCode.DONE


def _explain_none(asked: str) -> str:
    """Say that there is no row, and how to name a run where a name stands for its id."""
    if not (found := _NO_ID.search(asked)):
        return "No row."
    newest = f"FROM runs WHERE name = '{found[1]}' ORDER BY created_at DESC LIMIT 1"
    return (
        f"No row. '{found[1]}' is no run's id; of the newest run of that name it is "
        f"(SELECT id {newest})"
    )


def _read(sql: str | None, file: Path | None) -> str:
    if (sql is None) == (file is None):
        raise UsageError('Expected one query: tapeworks query "SELECT …", or --file FILE, or -')
    if sql == "-" or str(file) == "-":
        return _standard_input()
    if sql is not None:
        return sql
    return _content(file or Path())


def _standard_input() -> str:
    try:
        return sys.stdin.read().removeprefix(BYTE_ORDER_MARK)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Standard input cannot be read as text: {error}.") from error


def _content(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").removeprefix(BYTE_ORDER_MARK)
    except OSError as error:
        raise UsageError(f"The query {file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The query {file} is not UTF-8 text.") from error
