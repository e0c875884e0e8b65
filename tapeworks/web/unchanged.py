"""Answers that a client has already: their ETag is made of what they are made from, and not sent.

RFC 9110: a client that gives the ETag back as If-None-Match is answered with 304 and no body.
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Header, Request, Response

#: What a client may give back.
IfNoneMatch = Annotated[str | None, Header(description="the ETag of an answer that is at hand")]

#: Of a route that has an ETag, for the OpenAPI document.
UNCHANGED: dict[int | str, dict[str, Any]] = {
    HTTPStatus.NOT_MODIFIED: {"description": "The same as the answer with this ETag"}
}


class Unchanged(Exception):
    """The client has the answer."""

    def __init__(self, etag: str) -> None:
        super().__init__(etag)
        self.etag = etag


def mark(request: Request, response: Response, *version: Any) -> None:
    """Give the answer an ETag of its URL and this version. Raises `Unchanged` for a known one.

    `version` must differ wherever the answer does, and is read before the answer is made.
    """
    made_from = request.app.version, request.url.path, request.url.query, *version
    digest = hashlib.sha256(repr(made_from).encode(errors="backslashreplace")).hexdigest()
    etag = f'"{digest[:32]}"'
    if is_known(request, etag):
        raise Unchanged(etag)
    response.headers["etag"] = etag


def is_known(request: Request, etag: str) -> bool:
    """Check that the client has the answer with this ETag."""
    given = [one.strip() for one in request.headers.get("if-none-match", "").split(",")]
    return "*" in given or etag in [one.removeprefix("W/") for one in given]


def answer_unchanged(_: Request, error: Exception) -> Response:
    """Answer without a body."""
    assert isinstance(error, Unchanged)  # noqa: S101 - as it was registered
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"etag": error.etag})
