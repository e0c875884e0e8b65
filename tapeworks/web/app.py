"""The web page as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from tapeworks.storage.history import History
from tapeworks.web import api
from tapeworks.web.acting import Acting
from tapeworks.web.api.schema import describe
from tapeworks.web.options import WebOptions
from tapeworks.web.pages import PAGES
from tapeworks.web.problems import DESCRIPTION, add_handlers, answer_problem
from tapeworks.web.security import Gate
from tapeworks.web.site import Site


def create_app(history: History, options: WebOptions) -> FastAPI:
    """The application that shows this history. Opens nothing; the caller closes the history."""
    site = Site(history, options)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        site.close()

    app = FastAPI(
        title="Tapeworks",
        version=version("tapeworks"),
        openapi_url=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.site = site
    app.state.navigation = [
        page.entry for page in PAGES if page.entry and not (page.entry.writes and options.read_only)
    ]
    add_handlers(app)
    app.add_middleware(_HeadAsGet)
    app.add_middleware(Acting)
    app.add_middleware(Gate, options=options, answer=answer_problem)
    app.mount("/static", _Files(directory=Path(__file__).parent / "static"), name="static")
    app.include_router(api.make_router(site))
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    for page in PAGES:
        app.include_router(page.make_router(site), include_in_schema=False)
    return app


class _HeadAsGet:
    """Has HEAD answered wherever GET is; the server sends no body then."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"
        await self._app({**scope, "method": "GET"} if is_head else scope, receive, send)


class _Files(StaticFiles):
    """Files that a browser keeps, and asks about each time whether they are still the same."""

    def file_response(self, *arguments: Any, **named: Any) -> Any:
        response = super().file_response(*arguments, **named)
        response.headers["cache-control"] = "no-cache"
        return response
