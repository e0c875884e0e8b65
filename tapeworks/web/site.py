"""Pages as answers: rendered once for each version of the database, and not sent twice."""

from __future__ import annotations

import hashlib
import re
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
from tapeworks.storage.records import loss_text, sum_words
from tapeworks.web.options import WebOptions
from tapeworks.web.problems import ProblemKind
from tapeworks.web.security import is_known as knows_token
from tapeworks.web.slots import Slots
from tapeworks.web.unchanged import Unchanged, is_known
from tapeworks.workers.printable import visible_lines

#: Pages that are kept rendered: as many as a team has open at once.
MOST_KEPT = 200

#: Seconds for which a page that is looked at again, and not opened, is not rendered anew, at least
#: and at most: many who watch a training that commits all the time cost no more than one.
FRESH_SECONDS, MOST_FRESH_SECONDS = 1.0, 10.0

#: The share of a core that is to render, in between, all pages that are looked at.
SHARE = 0.08

#: Seconds after which a page was left, if nobody has looked at it again; browsers do every 2 s.
LEFT_SECONDS = 5.0

#: The address of a form of a run into which little is typed; its first part is the run's page.
_SHORT_FORM = re.compile(r"(/runs/[^/]+)/(?:pause|resume|cancel|priority)")

#: Makes the values that a template shows.
MakeContext = Callable[[], dict[str, Any]]


@dataclass(kw_only=True, slots=True)
class Rendered:
    """A page as it was rendered; times are by the clock that only goes forward."""

    version: str  #: of the database
    at: float  #: when somebody began to render it last
    seconds: float  #: that it took
    looked_at: float  #: by somebody who had opened it
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
        self._released_at = float("-inf")
        self._lock = threading.Lock()

    def answer(
        self,
        request: Request,
        template: str,
        make_context: MakeContext,
        media_type: str = "text/html",
        *,
        beside: object = None,
    ) -> Response:
        """Answer with the template, or with 304 if the client has what it would say.

        `make_context` is called only if the database or what stands `beside` it has changed since
        the same URL was answered, and may depend on nothing but those two and the URL.
        """
        is_poll = "if-none-match" in request.headers
        self._release(is_poll=is_poll)
        version = f"{self.changes.version()} {beside}"
        found = self._find(request, template, make_context, version, is_poll=is_poll)
        if is_known(request, found.etag):
            raise Unchanged(found.etag)
        body = self._with_key(found.body)
        return Response(body, headers={"etag": found.etag}, media_type=media_type)

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
        way_on = _find_way_on(request) if kind == "unsure" else None
        context = {"sentence": sentence, "phrase": status.phrase, "kind": kind, "way_on": way_on}
        return self.render(request, "problem.html", context, status)

    def close(self) -> None:
        """Close what it keeps open of its own, and end the queries that are being answered."""
        self.history.database.end_queries()
        self.changes.close()

    def _with_key(self, body: bytes) -> bytes:
        return body.replace(self._key_mark, secrets.token_hex(16).encode())

    def _release(self, *, is_poll: bool) -> None:
        """See to it that runs are shown as they truly stand; those who poll a second later."""
        now = time.monotonic()
        if not is_poll or now - self._released_at >= FRESH_SECONDS:
            self._released_at = now
            self.history.release_abandoned()

    def _find(
        self,
        request: Request,
        template: str,
        make_context: MakeContext,
        version: str,
        *,
        is_poll: bool,
    ) -> Rendered:
        url = f"{request.url.path}?{request.url.query}"
        if kept := self._find_kept(url, version, is_poll=is_poll):
            return kept
        began = time.monotonic()
        try:
            body = self._render(request, template, make_context())
        except Exception:
            with self._lock:
                self._kept.pop(url, None)
            raise
        ended = time.monotonic()
        rendered = Rendered(
            version=version,
            at=began,
            seconds=ended - began,
            looked_at=ended,
            etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"',
            body=body,
        )
        self._keep(url, rendered)
        return rendered

    def _find_kept(self, url: str, version: str, *, is_poll: bool) -> Rendered | None:
        """Return what need not be rendered; None to the one who is to do it."""
        now = time.monotonic()
        with self._lock:
            kept = self._kept.get(url)
            if kept is None:
                return None
            kept.looked_at = now
            is_fresh = is_poll and now - kept.at < self._fresh_seconds(now)
            if is_fresh or kept.version == version:
                return kept
            kept.at = now  # nobody else who polls it renders it meanwhile
            return None

    def _fresh_seconds(self, now: float) -> float:
        """Return for how long pages stay as they are, by what those cost that are looked at."""
        looked_at = [one for one in self._kept.values() if now - one.looked_at < LEFT_SECONDS]
        seconds = sum(one.seconds for one in looked_at) / SHARE
        return min(max(seconds, FRESH_SECONDS), MOST_FRESH_SECONDS)

    def _keep(self, url: str, rendered: Rendered) -> None:
        with self._lock:
            self._kept[url] = rendered
            self._kept.move_to_end(url)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)

    def _render(self, request: Request, template: str, context: dict[str, Any]) -> bytes:
        common = {
            "path": request.url.path,
            "form_key": self._key_mark.decode(),
            "read_only": self.options.read_only,
            "is_logged_in": self.options.token is not None and knows_token(request, self.options),
            "navigation": request.app.state.navigation,
        }
        return self._templates.get_template(template).render(common | context).encode()


def _find_way_on(request: Request) -> str | None:
    """The page that shows whether a form was carried out; None where one may have to go back.

    Into other forms much may have been typed, which is found again by going back.
    """
    found = _SHORT_FORM.fullmatch(request.url.path)
    return found[1] if found else None


def _environment() -> Environment:
    """Templates in which every text is data: no markup, and no character that hides or moves."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"loss_text": loss_text, "sum_words": sum_words}
    return environment


def _visible(value: Any) -> Any:
    """Text as it may be shown; tabs stay, which boxes give back as they were typed."""
    return "\t".join(map(visible_lines, value.split("\t"))) if type(value) is str else value
