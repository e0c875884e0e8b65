"""The story of a run: its events, its evaluations, and the workers that computed for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from fastapi import APIRouter

from tapeworks.storage.queries.pages import Part, list_evaluations, list_events
from tapeworks.storage.records import EvaluationRecord, EventRecord, WorkerSummary
from tapeworks.web.api.models import (
    Page,
    PageAsked,
    PageQuery,
    read_cursor,
    write_cursor,
)
from tapeworks.web.api.runs import AskedRun
from tapeworks.web.site import Site
from tapeworks.web.unchanged import UNCHANGED

Item = TypeVar("Item")


def make_router(site: Site) -> APIRouter:
    """Routes to it."""
    router, history = APIRouter(tags=["history"]), site.history

    @router.get("/runs/{run}/events", responses=UNCHANGED)
    def events(run: AskedRun, asked: PageAsked) -> Page[EventRecord]:
        """Its events, in the order in which they were written."""
        part = part_of(asked)
        return page_of(list_events(history.database, run.id, part), part)

    @router.get("/runs/{run}/evaluations", responses=UNCHANGED)
    def evaluations(run: AskedRun, asked: PageAsked) -> Page[EvaluationRecord]:
        """Loss and accuracy on held-out images, in the order of their iterations."""
        part = part_of(asked)
        return page_of(list_evaluations(history.database, run.id, part), part)

    @router.get("/runs/{run}/workers", responses=UNCHANGED)
    def workers(run: AskedRun, asked: PageAsked) -> Page[WorkerSummary]:
        """Its workers, those with the most images first."""
        part = part_of(asked)
        found = history.workers(run.id)
        return page_of(found[part.first : part.first + part.limit], part)

    return router


def part_of(asked: PageQuery) -> Part:
    """The part that a page shows."""
    [first] = read_cursor(asked.cursor, 0)
    return Part(first=first, limit=asked.limit)


def page_of(items: Sequence[Item], part: Part) -> Page[Item]:
    """The part as a page; after a full one there may be another."""
    is_full = len(items) == part.limit
    cursor = write_cursor(part.first + part.limit) if is_full else None
    return Page(items=list(items), next_cursor=cursor)
