"""`tapeworks runs`: what was trained, is, and will be."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from tapeworks.connection import connected_history
from tapeworks.describe import clock
from tapeworks.descriptions import pairs
from tapeworks.errors import ExitCode
from tapeworks.listings import Form, put_listing, with_form_options
from tapeworks.moments import Moment
from tapeworks.option_kinds import Status, Whole
from tapeworks.output import put_table, say
from tapeworks.storage.listing import Listing
from tapeworks.storage.records import RunStatus
from tapeworks.storage.search import find_runs

HEADERS = ("RUN", "NAME", "STATUS", "ITERATIONS", "FIRST LOSS", "LAST LOSS", "CREATED")

#: What the table for people is made of.
COLUMNS = (
    *("id", "name", "status", "completed_iterations", "iterations"),
    *("first_loss", "final_loss", "created_at"),
)

NO_RUN = "There is no run yet; start one with: tapeworks train"
NO_RUN_FITS = "No run is like that; all of them: tapeworks runs"


@click.command(
    "runs",
    epilog='Example: tapeworks runs --where "NOT final_loss < 12" --sort final_loss --asc',
)
@click.option(
    "--status",
    multiple=True,
    type=Status(),
    help="may be repeated: any of them",
)
@click.option(
    "--tag", "tags", multiple=True, metavar="KEY=VALUE", help="may be repeated: all of them"
)
@click.option("--since", type=Moment(), help="submitted so long ago at most, or on a day or later")
@click.option("--where", metavar="SQL", help="a condition over the columns of the view runs")
@click.option("--sort", metavar="COLUMN", default="created_at", show_default=True)
@click.option("--desc/--asc", "descending", default=True, help="  [default: --desc]")
@click.option("--limit", type=Whole(1), default=20, show_default=True, help="how many at most")
@click.option("--columns", metavar="A,B,…", help="columns of the view runs, in this order")
@with_form_options
def command(
    status: tuple[RunStatus, ...],
    tags: tuple[str, ...],
    columns: str | None,
    form: Form,
    **wanted: Any,
) -> int:
    """List the runs, newest first: all, or those that fulfil everything that is asked for.

    The columns are those of the view runs: see docs/queries.md.
    """
    wanted |= {"status": status, "tags": pairs(tags, "--tag")}
    names = [name.strip() for name in columns.split(",")] if columns is not None else None
    history = connected_history()
    history.release_abandoned()
    shown = names or (None if form is Form.JSON else COLUMNS)
    found = find_runs(history.database, columns=shown, **wanted)
    if form is Form.TABLE and not found.rows:
        asked_for = [wanted[name] for name in ("status", "tags", "since", "where")]
        say(NO_RUN_FITS if any(asked_for) else NO_RUN)
    elif form is Form.TABLE and names is None:
        put_table(HEADERS, [_row(*run) for run in found.rows])
    else:
        put_listing(_as_read(found, form), form)
    return ExitCode.DONE


def _row(*run: Any) -> tuple[str, ...]:
    run_id, name, status, completed, iterations, first_loss, final_loss, created_at = run
    losses = ["-" if loss is None else f"{loss:.4f}" for loss in (first_loss, final_loss)]
    return run_id, name or "-", status, f"{completed}/{iterations}", *losses, _clock(created_at)


def _as_read(found: Listing, form: Form) -> Listing:
    """Times by this machine's clock where people read them; tags as an object in JSON."""
    readers: dict[str, Callable[[Any], Any]] = {}
    if form is Form.TABLE:
        readers = {name: _clock for name in found.columns if name.endswith("_at")}
    elif form is Form.JSON:
        readers = {"tags": json.loads}
    return found.changed(readers)


def _clock(moment: str | None) -> str:
    return clock(datetime.fromisoformat(moment).replace(tzinfo=UTC) if moment else None)
