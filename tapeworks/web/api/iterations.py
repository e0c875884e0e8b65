"""The iterations of a run, and the ledger of each."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from tapeworks.storage.errors import IterationNotFound
from tapeworks.storage.queries.pages import LedgerPlace, Part, list_iterations, list_ledger
from tapeworks.storage.records import IterationRecord, LedgerRecord
from tapeworks.web.api.models import (
    LedgerQuery,
    NothingAsked,
    Number,
    Page,
    PageAsked,
    read_cursor,
    write_cursor,
)
from tapeworks.web.api.runs import AskedRun
from tapeworks.web.site import Site
from tapeworks.web.unchanged import UNCHANGED


def make_router(site: Site) -> APIRouter:
    """Routes to what was computed."""
    router, history = APIRouter(tags=["history"]), site.history

    @router.get("/runs/{run}/iterations", responses=UNCHANGED)
    def iterations(run: AskedRun, asked: PageAsked) -> Page[IterationRecord]:
        """The committed iterations, in order: the loss history."""
        [first] = read_cursor(asked.cursor, 0)
        part = Part(first=first, limit=asked.limit)
        found = list_iterations(history.database, run.id, part)
        is_full = len(found) == asked.limit
        return Page(
            items=found, next_cursor=write_cursor(found[-1].iteration + 1) if is_full else None
        )

    @router.get("/runs/{run}/iterations/{iteration}", responses=UNCHANGED)
    def iteration(run: AskedRun, iteration: Number, _: NothingAsked) -> IterationRecord:
        """One of them."""
        found = list_iterations(history.database, run.id, Part(first=iteration, limit=1))
        if not found or found[0].iteration != iteration:
            raise IterationNotFound(run, iteration)
        return found[0]

    @router.get("/runs/{run}/ledger", responses=UNCHANGED)
    def ledger(run: AskedRun, asked: Annotated[LedgerQuery, Query()]) -> Page[LedgerRecord]:
        """The worker that computed each image, and the attempt, in image order."""
        iteration, entry = read_cursor(asked.cursor, 0, 0)
        start = LedgerPlace(iteration=iteration, entry=entry)
        found = list_ledger(history.database, run.id, start, asked.limit, asked.iteration)
        if len(found) < asked.limit:
            return Page(items=found, next_cursor=None)
        behind = start.behind(found)
        return Page(items=found, next_cursor=write_cursor(behind.iteration, behind.entry))

    return router
