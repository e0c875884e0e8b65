"""Runs paused, resumed, cancelled, moved in the queue, and given another name, tags or a note."""

from __future__ import annotations

from fastapi import APIRouter

from tapeworks.cli.given import read_noted
from tapeworks.web.api.models import NewPriority, Noted, NothingAsked, Reason, Reference, Run
from tapeworks.web.api.runs import describe_run, find_run
from tapeworks.web.site import Site


def make_router(site: Site) -> APIRouter:
    """Routes to what may be wished of a run."""
    router, history = APIRouter(tags=["runs"]), site.history

    @router.post("/runs/{run}/pause")
    def pause(run: Reference, _: NothingAsked, body: Reason | None = None) -> Run:
        """Have it stop when it next commits, until it is resumed.

        That is after the iteration in progress; of short ones, after half a second of them.
        """
        found = find_run(history, run)
        return describe_run(history, history.queue.pause(found.id, _reason(body)))

    @router.post("/runs/{run}/resume")
    def resume(run: Reference, _: NothingAsked) -> Run:
        """Queue it again; it goes on where it stopped, to the same bits."""
        return describe_run(history, history.queue.resume(find_run(history, run).id))

    @router.post("/runs/{run}/cancel")
    def cancel(run: Reference, _: NothingAsked, body: Reason | None = None) -> Run:
        """End it for good when it next commits, as pausing does; what is committed stays."""
        found = find_run(history, run)
        return describe_run(history, history.queue.cancel(found.id, _reason(body)))

    @router.post("/runs/{run}/priority")
    def set_priority(run: Reference, _: NothingAsked, body: NewPriority) -> Run:
        """Have it taken before all runs of a lower priority."""
        found = find_run(history, run)
        return describe_run(history, history.queue.set_priority(found.id, body.priority))

    @router.patch("/runs/{run}")
    def describe(run: Reference, _: NothingAsked, body: Noted) -> Run:
        """Give it another name or note, or tags in place of its own; what is not given stays."""
        noted = read_noted(**body.model_dump(include=body.model_fields_set))
        found = find_run(history, run)
        return describe_run(history, history.queue.describe(found.id, **noted))

    return router


def _reason(body: Reason | None) -> str | None:
    return None if body is None else body.reason
