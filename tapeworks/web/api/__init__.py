"""The REST interface, a module for each resource; models and cursors beside them."""

from __future__ import annotations

from fastapi import APIRouter

from tapeworks.web.api import changes, checkpoints, images, iterations, query, runs, stories
from tapeworks.web.api.schema import PROBLEMS
from tapeworks.web.site import Site

PREFIX = "/api/v1"

_RESOURCES = (runs, changes, iterations, images, stories, checkpoints, query)


def make_router(site: Site) -> APIRouter:
    """All routes of the interface."""
    router = APIRouter(prefix=PREFIX, responses=PROBLEMS)
    for resource in _RESOURCES:
        router.include_router(resource.make_router(site))
    return router
