"""Anything asked in SQL; nothing can be changed with it."""

from __future__ import annotations

from fastapi import APIRouter

from tapeworks.storage.queries.search import query
from tapeworks.web.api.models import NothingAsked, Rows, SqlQuery
from tapeworks.web.site import Site


def make_router(site: Site) -> APIRouter:
    """The route to it."""
    router, history = APIRouter(tags=["query"]), site.history

    @router.post("/query")
    def ask(body: SqlQuery, _: NothingAsked) -> Rows:
        """The first rows that one SELECT over the views finds."""
        history.release_abandoned()
        with site.query_slots.hold():
            found = query(history.database, body.sql, seconds=body.seconds, limit=body.limit + 1)
        return Rows(
            columns=list(found.columns),
            rows=[list(row) for row in found.rows[: body.limit]],
            more=len(found.rows) > body.limit,
        )

    return router
