"""Pages as answers: rendered once for each version of the database, and not sent twice."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tapeworks.storage.connection.changes import Changes
from tapeworks.storage.history import History
from tapeworks.web.options import WebOptions
from tapeworks.web.problems import ProblemKind
from tapeworks.web.slots import Slots
from tapeworks.workers.printable import visible_lines

#: Pages that are kept rendered: as many as a team has open at once.
MOST_KEPT = 200

#: Seconds for which a page that is looked at again, and not opened, is not rendered anew: many who
#: watch a training that commits all the time cost no more than one.
FRESH_SECONDS = 1.0

#: Makes the values that a template shows.
MakeContext = Callable[[], dict[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """A page as it was rendered."""

    version: str  #: of the database
    at: float  #: by the clock that only goes forward
    etag: str
    body: bytes


class Site:
    """Everything that pages are made of."""

    def __init__(self, history: History, options: WebOptions) -> None:
        self.history, self.options = history, options
        self.changes = Changes(history.database)
        #: For queries in people's own SQL.
        self.query_slots = Slots()
        #: Stands in a rendered page where each copy that is sent has a form key of its own.
        self._key_mark = secrets.token_hex(16).encode()
        self._templates = _environment()
        self._kept = OrderedDict[str, Rendered]()
        self._lock = threading.Lock()

    def answer(
        self,
        request: Request,
        template: str,
        make_context: MakeContext,
        media_type: str = "text/html",
    ) -> Response:
        """Answer with the template, or with 304 if the client has what it would say.

        `make_context` is called only if the database has changed since the same URL was answered,
        and may depend on nothing but the URL and the database.
        """
        self.history.release_abandoned()
        known = request.headers.get("if-none-match")
        found = self._find(request, template, make_context, is_poll=known is not None)
        headers = {"etag": found.etag}
        if known == found.etag:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(self._with_key(found.body), headers=headers, media_type=media_type)

    def render(
        self,
        request: Request,
        template: str,
        context: dict[str, Any],
        status: HTTPStatus = HTTPStatus.OK,
    ) -> Response:
        """Answer with the template as it is now, such as a page with an error in it."""
        body = self._render(request, template, context)
        return Response(self._with_key(body), status, media_type="text/html")

    def render_problem(
        self, request: Request, status: HTTPStatus, sentence: str, kind: ProblemKind
    ) -> Response:
        """A page that says in one sentence why there is no other."""
        context = {"sentence": sentence, "phrase": status.phrase, "kind": kind}
        return self.render(request, "problem.html", context, status)

    def close(self) -> None:
        """Close what it keeps open of its own, and end the queries that are being answered."""
        self.history.database.end_queries()
        self.changes.close()

    def _with_key(self, body: bytes) -> bytes:
        return body.replace(self._key_mark, secrets.token_hex(16).encode())

    def _find(
        self, request: Request, template: str, make_context: MakeContext, *, is_poll: bool
    ) -> Rendered:
        url = f"{request.url.path}?{request.url.query}"
        version, now = self.changes.version(), time.monotonic()
        with self._lock:
            kept = self._kept.get(url)
        if kept and (kept.version == version or (is_poll and now - kept.at < FRESH_SECONDS)):
            return kept
        body = self._render(request, template, make_context())
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        rendered = Rendered(version=version, at=now, etag=etag, body=body)
        with self._lock:
            self._kept[url] = rendered
            self._kept.move_to_end(url)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return rendered

    def _render(self, request: Request, template: str, context: dict[str, Any]) -> bytes:
        common = {
            "path": request.url.path,
            "form_key": self._key_mark.decode(),
            "read_only": self.options.read_only,
            "has_token": self.options.token is not None,
            "navigation": request.app.state.navigation,
        }
        return self._templates.get_template(template).render(common | context).encode()


def _environment() -> Environment:
    """Templates in which every text is data: no markup, and no character that hides or moves."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _visible(value: Any) -> Any:
    return visible_lines(value) if type(value) is str else value
