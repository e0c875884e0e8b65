"""All runs, or those that fulfil everything that is asked for, with their progress and losses."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import QueryParams

from tapeworks.cli.descriptions import pairs
from tapeworks.cli.given import read_statuses, read_whole
from tapeworks.cli.outputs.describe import run_losses, share_text, short_reason
from tapeworks.cli.outputs.listings import cell_text, has_others
from tapeworks.errors import InvalidValue, UsageError
from tapeworks.storage.errors import QueryError, ValueNotPlain
from tapeworks.storage.queries.differing import choose_spare, is_setting, keep_differing
from tapeworks.storage.queries.listing import Listing, Value
from tapeworks.storage.queries.search import count_runs, find_runs
from tapeworks.storage.queries.views import COLUMNS, SETTINGS
from tapeworks.storage.records import RunStatus, loss_text
from tapeworks.web.asked import asks, with_query
from tapeworks.web.pages.sparklines import Span, Sparklines
from tapeworks.web.problems import status_of
from tapeworks.web.site import Site

#: What every row is made of.
_FIXED = (
    *("id", "name", "status", "request", "completed_iterations", "iterations"),
    "parent_iterations",
)

#: What its losses are the sums over.
_COUNTS = ("images", "images_per_iteration")

#: What is shown beside it, unless other columns are chosen; of the settings, those that differ,
#: a submitter if there are runs of others, and a reason if a run has one.
DEFAULT_COLUMNS = (
    *("submitter", "final_loss", "test_accuracy", *SETTINGS),
    *("created_at", "submitter_host", "reason"),
)

#: Columns that are called otherwise than in SQL, and those whose numbers are written otherwise.
HEADINGS = {
    "final_loss": "last loss",
    "test_loss": "held-out loss",
    "test_accuracy": "held-out accuracy",
    "submitter": "by",
    "submitter_host": "from",
}
TEXTS: dict[str, Callable[[Any], str]] = {
    "test_loss": loss_text,
    "test_accuracy": share_text,
}

#: Columns that may be chosen.
CHOICES = tuple(name for name in COLUMNS["runs"] if name not in _FIXED)

#: Digits of a digest, and characters of a text that may be cut off.
DIGITS, LONG = 12, 40

#: Differing settings that are shown unless columns are chosen.
MOST_SETTINGS = 6

#: Runs on one page, and how many may be asked for.
DEFAULT_LIMIT, MOST_ROWS = 50, 200

#: The parameters of its URL.
ASKED = ("where", "status", "tag", "sort", "order", "columns", "limit", "offset")

#: Seconds that a page with a condition waits while as many others are made as may be.
PATIENCE_SECONDS = 1.0

#: Seconds for which a page with a condition stays as it is though the time goes on.
CONDITION_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The runs that a URL asks for, and what is shown of them."""

    where: str | None
    status: tuple[RunStatus, ...]
    tags: Mapping[str, str]
    sort: str
    descending: bool
    columns: tuple[str, ...]
    limit: int
    offset: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A value as it is shown, and all of it where that is more."""

    text: str
    whole: str = ""
    is_number: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A run as it is shown."""

    id: str
    label: str
    status: str
    #: What it has been asked to do and has not done yet.
    request: str | None
    completed: int
    iterations: int
    #: Points of a line.
    curve: str
    #: The chosen columns.
    cells: tuple[Cell, ...]


def make_router(site: Site) -> APIRouter:
    """Routes to the runs."""
    router, sparklines = APIRouter(), Sparklines(site.history)

    @router.get("/")
    def go_to_runs(request: Request) -> Response:
        return RedirectResponse(with_query("/runs", request.url.query))

    @router.get("/runs", dependencies=[asks(*ASKED)])
    def show_runs(request: Request) -> Response:
        asked = request.query_params

        def make_context() -> dict[str, Any]:
            selection = read_selection(asked)
            place = site.query_slots.hold(PATIENCE_SECONDS) if selection.where else nullcontext()
            with place:
                columns, rows, more = list_rows(site, sparklines, selection)
                count = count_selected(site, selection) if more or selection.offset else len(rows)
            return form_context(asked, columns) | {
                "rows": rows,
                "begin": selection.offset,
                "count": count,
                "links": page_links(asked, selection, more=more),
                "numbers": number_names(rows, columns),
                "sentence": None,
            }

        # A condition may change with the time, while nothing else does.
        moment = int(time.monotonic() / CONDITION_SECONDS) if asked.get("where") else None
        try:
            return site.answer(request, "runs.html", make_context, beside=moment)
        except (UsageError, QueryError, ValueNotPlain) as error:
            context = {"rows": [], "links": [], "numbers": set(), "sentence": str(error)}
            form = form_context(asked, chosen_columns(asked))
            return site.render(request, "runs.html", form | context, status_of(error))

    return router


def read_selection(asked: QueryParams) -> Selection:
    """Return what the URL asks for. Raises `UsageError`."""
    order = asked.get("order") or "desc"
    if order not in {"asc", "desc"}:
        raise InvalidValue("asc or desc", "order", order)
    return Selection(
        where=asked.get("where") or None,
        status=tuple(read_statuses("status", [one for one in asked.getlist("status") if one])),
        tags=pairs([tag for tag in asked.getlist("tag") if tag], "tag"),
        sort=asked.get("sort") or "created_at",
        descending=order == "desc",
        columns=chosen_columns(asked),
        limit=read_whole("limit", asked.get("limit") or DEFAULT_LIMIT, 1, MOST_ROWS),
        offset=read_whole("offset", asked.get("offset") or 0),
    )


def chosen_columns(asked: QueryParams) -> tuple[str, ...]:
    """Return the columns that the URL names, each once."""
    given = [one.strip() for text in asked.getlist("columns") for one in text.split(",")]
    return tuple(dict.fromkeys(filter(None, given)))


def list_rows(
    site: Site, sparklines: Sparklines, selection: Selection
) -> tuple[tuple[str, ...], list[Row], bool]:
    """Return the columns and the selected runs, and whether there are more behind them."""
    chosen = selection.columns or DEFAULT_COLUMNS
    found = find_runs(
        site.history.database,
        where=selection.where,
        status=selection.status,
        tags=selection.tags,
        sort=selection.sort,
        descending=selection.descending,
        columns=tuple(dict.fromkeys((*_FIXED, *_COUNTS, *chosen))),
        limit=selection.limit + 1,
        offset=selection.offset,
    )
    listed = replace(found, rows=found.rows[: selection.limit])
    shown = listed.select(chosen)
    if not selection.columns:
        shown = _keep_telling(keep_differing(shown))
    facts = [dict(zip(listed.columns, row, strict=True)) for row in listed.rows]
    curves = sparklines.draw(list(map(_span, facts)))
    rows = [
        _row(values, zip(shown.columns, cells, strict=True), curves)
        for values, cells in zip(facts, shown.rows, strict=True)
    ]
    return shown.columns, rows, len(found.rows) > len(rows)


def count_selected(site: Site, selection: Selection) -> int:
    """Count the runs of all pages."""
    return count_runs(
        site.history.database,
        where=selection.where,
        status=selection.status,
        tags=selection.tags,
    )


def _keep_telling(shown: Listing) -> Listing:
    """Return it with as many settings as there is room for, whose runs they are if not all are of
    this page's user, and a last column if it has reasons."""
    settings = {name: shown.column(name) for name in shown.columns if is_setting(name)}
    dropped = set[str]()
    while len(settings) > MOST_SETTINGS:
        name = choose_spare(settings)
        dropped.add(name)
        del settings[name]
    if not any(shown.column("reason")):
        dropped.add("reason")
    if not has_others(shown):
        dropped |= {"submitter", "submitter_host"}
    return shown.select([name for name in shown.columns if name not in dropped])


def _span(values: Mapping[str, Any]) -> Span:
    first, end = values["parent_iterations"] or 0, values["completed_iterations"]
    return Span(run_id=values["id"], first=first, end=end)


def _row(
    values: Mapping[str, Any], cells: Iterable[tuple[str, Value]], curves: Mapping[str, str]
) -> Row:
    losses = run_losses(values)
    return Row(
        id=values["id"],
        label=values["name"] or values["id"],
        status=values["status"],
        request=values["request"],
        completed=values["completed_iterations"],
        iterations=values["iterations"],
        curve=curves[values["id"]],
        cells=tuple(_cell(name, cell, losses) for name, cell in cells),
    )


def _cell(column: str, value: Value, losses: Mapping[str, str]) -> Cell:
    if not isinstance(value, str):
        text = losses.get(column) or TEXTS.get(column, cell_text)(value)
        return Cell(text=text, is_number=value is not None)
    if column.endswith("_at"):
        return Cell(text=value[:19], whole=value)  # to the second
    if column.endswith("_digest"):
        return Cell(text=f"{value[:DIGITS]}…", whole=value)
    if column == "reason":
        return Cell(text=short_reason(value), whole=value)
    if column in {"tags", "options"}:
        value = ", ".join(f"{key}={one}" for key, one in json.loads(value).items())
    return Cell(text=value, whole=value if len(value) > LONG else "")


def number_names(rows: Sequence[Row], columns: Sequence[str]) -> set[str]:
    """Return the columns that have numbers, whose headings stand to the right as they do."""
    return {
        name
        for row in rows
        for name, cell in zip(columns, row.cells, strict=True)
        if cell.is_number
    }


def form_context(asked: QueryParams, columns: Sequence[str]) -> dict[str, Any]:
    """The values of the form, as they were asked for, right or wrong; with the shown columns."""
    chosen = chosen_columns(asked)
    sort = asked.get("sort") or "created_at"
    descending = (asked.get("order") or "desc") != "asc"
    return {
        "is_narrowed": any(asked.get(name) for name in ("where", "status", "tag", "offset")),
        "where": asked.get("where", ""),
        "statuses": [(one.value, one.value in asked.getlist("status")) for one in RunStatus],
        "tags": [tag for tag in asked.getlist("tag") if tag],
        "sort": sort,
        "descending": descending,
        "choices": [(name, name in chosen) for name in (*CHOICES, *_others(chosen))],
        "headings": [_heading(asked, name, sort, descending) for name in columns],
        "fixed_headings": {
            name: _heading(asked, name, sort, descending)
            for name in ("name", "status", "completed_iterations")
        },
    }


def _others(columns: Sequence[str]) -> list[str]:
    """Chosen columns that are not in the list: options of networks, and mistakes."""
    return [name for name in columns if name not in CHOICES]


def _heading(asked: QueryParams, name: str, sort: str, descending: bool) -> dict[str, Any]:
    """A column's name, the URL that sorts by it, and how it is sorted now."""
    is_sorted = name == sort
    order = "asc" if is_sorted and descending else "desc"
    return {
        "name": name,
        "label": HEADINGS.get(name, name),
        "url": with_values(asked, sort=name, order=order, offset=None),
        "sorted": ("descending" if descending else "ascending") if is_sorted else "none",
    }


def page_links(asked: QueryParams, selection: Selection, *, more: bool) -> list[tuple[str, str]]:
    """Return titles and URLs of the pages before and after this one."""
    links = []
    if selection.offset:
        before = max(selection.offset - selection.limit, 0)
        links.append(("Previous", with_values(asked, offset=before or None)))
    if more:
        links.append(("Next", with_values(asked, offset=selection.offset + selection.limit)))
    return links


def with_values(asked: QueryParams, **values: Any) -> str:
    """The same URL with other values; None takes one out."""
    kept = [(name, value) for name, value in asked.multi_items() if value and name not in values]
    return "?" + urlencode(
        kept + [(name, value) for name, value in values.items() if value is not None]
    )
