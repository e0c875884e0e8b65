"""The web page as an ASGI application."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tapeworks.storage.history import History
from tapeworks.web import api
from tapeworks.web.acting import Acting
from tapeworks.web.api.schema import describe
from tapeworks.web.options import WebOptions
from tapeworks.web.pages import PAGES
from tapeworks.web.problems import API, DESCRIPTION, add_handlers, answer_problem
from tapeworks.web.security import Gate
from tapeworks.web.site import Site

#: A line's end in a form or an address.
_LINE_END = re.compile(rb"(?:%0D|\r)(?:%0A|\n)?", re.IGNORECASE)


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
    app.add_middleware(_PlainLineEnds)
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


class _PlainLineEnds:
    """Has every line of a form or a page's address end in LF; browsers send CR and LF.

    Stands behind the gate, which passes a body on in one piece. Programs' JSON stays as it is.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(API):
            await self._app(scope, receive, send)
            return

        async def receive_plain() -> Message:
            message = await receive()
            body = message.get("body", b"")
            return {**message, "body": _end_lines(body)} if body else message

        query = _end_lines(scope["query_string"])
        await self._app({**scope, "query_string": query}, receive_plain, send)


def _end_lines(text: bytes) -> bytes:
    return _LINE_END.sub(b"%0A", text)


class _Files(StaticFiles):
    """Files that a browser keeps, and asks about each time whether they are still the same."""

    def file_response(self, *arguments: Any, **named: Any) -> Any:
        response = super().file_response(*arguments, **named)
        response.headers["cache-control"] = "no-cache"
        return response
