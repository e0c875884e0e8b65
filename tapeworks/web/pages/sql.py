"""Anything asked of the history in SQL, answered as a table or as CSV."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from tapeworks.cli.outputs.listings import as_csv, cell_text, number_columns
from tapeworks.errors import InvalidValue
from tapeworks.storage.errors import QueryError
from tapeworks.storage.history import History
from tapeworks.storage.queries.listing import Listing
from tapeworks.storage.queries.roles import role_of
from tapeworks.storage.queries.search import query
from tapeworks.storage.queries.views import COLUMNS
from tapeworks.storage.references import RUN_ID
from tapeworks.web.asked import asks
from tapeworks.web.problems import Refused, status_of
from tapeworks.web.site import Site

#: Rows of a table; the CSV has as many as a query may find.
MOST_SHOWN = 1000

#: Queries at a time: on SQLite each has a process and up to 1 GiB.
MOST_AT_ONCE = 2

#: Of a link on another site.
NOT_ASKED = "Another site asks this. It is asked when you say so."

#: How a question in the package's file begins, and ends.
_QUESTION = re.compile(r"^-- ([^\n]+)\n(.+?);\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question of docs/queries.md."""

    title: str
    sql: str


def make_router(site: Site) -> APIRouter:
    """Routes to the query box and its answer as CSV."""
    router, asking = APIRouter(), Asking(site.history)

    @router.get("/sql", dependencies=[asks("q", "question")])
    def show_box(request: Request, q: str = "", question: int | None = None) -> Response:
        context = box_context(site.history, q, question)
        if not q.strip():
            return site.render(request, "sql.html", context)
        if not is_asked_here(request):
            return site.render(request, "sql.html", context | {"note": NOT_ASKED})
        try:
            found = asking.ask(q, MOST_SHOWN + 1)
        except QueryError as error:
            told = context | {"sentence": str(error)}
            return site.render(request, "sql.html", told, status_of(error))
        return site.render(request, "sql.html", context | answer_context(site, q, found))

    @router.get("/sql.csv", dependencies=[asks("q")])
    def download(request: Request, q: str) -> Response:
        if not is_asked_here(request):
            raise Refused(HTTPStatus.FORBIDDEN, "Expected a link of this web page itself.")
        text = as_csv(asking.ask(q)) + "\n"
        headers = {"content-disposition": 'attachment; filename="tapeworks.csv"'}
        return Response(text, headers=headers, media_type="text/csv")

    return router


class Asking:
    """Asks the history; no more at a time than it has room for."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._room = threading.BoundedSemaphore(MOST_AT_ONCE)

    def ask(self, sql: str, limit: int | None = None) -> Listing:
        """Return what the query finds, or its first rows. Raises `QueryError` and `Refused`."""
        with self._place():
            self._history.release_abandoned()
            return query(self._history.database, sql, limit=limit)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._room.acquire(blocking=False):
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{MOST_AT_ONCE} queries are being answered; ask again when one is done.",
            )
        try:
            yield
        finally:
            self._room.release()


def is_asked_here(request: Request) -> bool:
    """Check that no other site has a browser ask, which would cost time: that only fills the box.

    Browsers say where a request comes from, programs need not.
    """
    return request.headers.get("sec-fetch-site") in {None, "same-origin", "none"}


def box_context(history: History, sql: str, question: int | None) -> dict[str, Any]:
    """The box with what is to be asked, and the questions to choose from."""
    return {
        "sql": sql if question is None else take_question(history, question),
        "questions": [one.title for one in questions()],
        "question": question,
        "views": {name: ", ".join(columns) for name, columns in COLUMNS.items()},
        "listing": None,
        "sentence": None,
        "note": None,
    }


def answer_context(site: Site, sql: str, found: Listing) -> dict[str, Any]:
    """The answer as a table, and the link to all of it."""
    role = role_of(site.history.database)
    rows = found.rows[:MOST_SHOWN]
    return {
        "listing": {
            "columns": found.columns,
            "numbers": number_columns(Listing(columns=found.columns, rows=rows)),
            "rows": [[cell_text(cell) for cell in row] for row in rows],
            "more": len(found.rows) > len(rows),
            "csv": f"/sql.csv?{urlencode({'q': sql})}",
        },
        "note": role.warning if role else None,
    }


def take_question(history: History, number: int) -> str:
    """Return a question's SQL, about this history's newest runs."""
    if not 0 <= number < len(questions()):
        raise InvalidValue(f"a number from 0 to {len(questions()) - 1}", "question", number)
    sql = questions()[number].sql
    mentioned = dict.fromkeys(RUN_ID.findall(sql))
    for found, run in zip(mentioned, history.runs(len(mentioned)), strict=False):
        sql = sql.replace(found, run.id)
    return sql


@cache
def questions() -> tuple[Question, ...]:
    """The questions, in the order of the document."""
    text = files("tapeworks.web").joinpath("questions.sql").read_text(encoding="utf-8")
    return tuple(Question(title=found[1], sql=found[2]) for found in _QUESTION.finditer(text))
