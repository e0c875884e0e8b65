"""A new run, or a grid of them, from a form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from tapeworks.errors import EXPECTED
from tapeworks.storage.records import RunRecord
from tapeworks.web.pages.run_form import fields, mentioned, read_typed, submit_typed
from tapeworks.web.problems import status_of
from tapeworks.web.site import Site


def make_router(site: Site) -> APIRouter:
    """Routes to the form; none where nothing may be changed."""
    router = APIRouter()
    if site.options.read_only:
        return router

    @router.get("/new")
    def show_form(request: Request) -> Response:
        context = form_context(read_typed(request.query_params))
        response = site.render(request, "new_run.html", context)
        # A browser goes back to the form as it was left; nothing of the history is in it.
        response.headers["cache-control"] = "private, no-cache"
        return response

    @router.post("/new")
    async def submit(request: Request) -> Response:
        typed = read_typed(await request.form())
        try:
            queued = await run_in_threadpool(submit_typed, site.history, typed)
        except EXPECTED as error:  # an outage, too: what was typed is kept
            context = form_context(typed, str(error))
            return site.render(request, "new_run.html", context, status_of(error))
        return RedirectResponse(grid_url(queued), HTTPStatus.SEE_OTHER)

    return router


def grid_url(queued: Sequence[RunRecord]) -> str:
    """The page of the run, or of the grid's runs, which has what varies in columns.

    Runs that are queued together have ids that follow each other.
    """
    if len(queued) == 1:
        return f"/runs/{queued[0].id}"
    asked = {
        "where": f"id BETWEEN '{queued[0].id}' AND '{queued[-1].id}'",
        "order": "asc",
    }
    return f"/runs?{urlencode(asked)}"


def form_context(typed: Mapping[str, str], sentence: str | None = None) -> dict[str, Any]:
    """The form with what was typed, and what is wrong with it beside the inputs it is about."""
    return {
        "typed": typed,
        "sentence": sentence,
        "wrong": mentioned(sentence or ""),
        "groups": [(name, list(group)) for name, group in groupby(fields(), lambda one: one.group)],
    }
