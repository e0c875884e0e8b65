"""The parameters of a run that are kept."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from tapeworks.storage.queries.pages import StoredCheckpoint, list_stored_checkpoints
from tapeworks.web.api.models import Page, PageAsked, ParametersQuery, Reference
from tapeworks.web.api.runs import AskedRun, find_run
from tapeworks.web.api.stories import page_of, part_of
from tapeworks.web.site import Site
from tapeworks.web.unchanged import UNCHANGED, IfNoneMatch, Unchanged, is_known

SAFETENSORS = "application/octet-stream"


def make_router(site: Site) -> APIRouter:
    """Routes to them."""
    router, history = APIRouter(tags=["parameters"]), site.history

    @router.get("/runs/{run}/checkpoints", responses=UNCHANGED)
    def checkpoints(run: AskedRun, asked: PageAsked) -> Page[StoredCheckpoint]:
        """The checkpoints, in the order of their iterations, without their arrays."""
        part = part_of(asked)
        return page_of(list_stored_checkpoints(history.database, run.id, part), part)

    @router.get(
        "/runs/{run}/parameters",
        response_class=Response,
        responses=UNCHANGED
        | {
            200: {
                "description": "A safetensors file",
                "content": {SAFETENSORS: {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    def parameters(
        request: Request,
        run: Reference,
        asked: Annotated[ParametersQuery, Query()],
        _: IfNoneMatch = None,
    ) -> Response:
        """The parameters after so many iterations as safetensors. The ETag is their SHA-256."""
        found = history.checkpoint(find_run(history, run).id, asked.after)
        etag = f'"{found.digest}"'
        if is_known(request, etag):
            raise Unchanged(etag)
        name = f"{found.run_id}-{found.completed_iterations}.safetensors"
        headers = {
            "etag": etag,
            "content-disposition": f'attachment; filename="{name}"',
            "tapeworks-completed-iterations": str(found.completed_iterations),
        }
        return Response(found.parameters, media_type=SAFETENSORS, headers=headers)

    return router
