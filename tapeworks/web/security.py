"""The gate before every request: host, origin, token, size; and the headers of every answer.

The page has no password of its own on loopback, so a browser must not be talked into using it for
another site: by a name that a foreign name server points here, or by a form of that site.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import re
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tapeworks.web.options import WebOptions
from tapeworks.web.problems import API, Refused

logger = logging.getLogger(__name__)

#: Bytes of a request's body; the longest form of ours has a few thousand.
MOST_BODY_BYTES = 2**20

#: Seconds in which a body must have arrived.
BODY_SECONDS = 30.0

#: The one form of forms that is read. No file is taken, so there is no need for another.
FORM = "application/x-www-form-urlencoded"

#: Methods that change nothing.
_READING = {"GET", "HEAD", "OPTIONS"}

#: What is posted although nothing is changed by it.
_READING_POSTS = {"/login", "/logout", "/api/v1/query"}

#: What is shown to those who are not logged in.
_OPEN = ("/login", "/static/")

#: A `Host` header: a name or an address, and perhaps a port.
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?", re.I)

#: Headers of every answer. Scripts, styles and pictures are files of ours; nothing is loaded from
#: anywhere else, put into a frame, or remembered by a browser. Without any referrer browsers would
#: send forms with `Origin: null`.
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}

#: Answers a refusal as the client reads it.
Answer = Callable[[Request, HTTPStatus, str, dict[str, str]], Response]


class Gate:
    """Passes on the requests that may be answered, each with its whole body."""

    def __init__(self, app: ASGIApp, options: WebOptions, answer: Answer) -> None:
        self._app, self._options, self._answer = app, options, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_guarded(message: Message) -> None:
            nonlocal begun
            begun = True
            _add_headers(message)
            await send(message)

        try:
            await self._pass_on(scope, receive, send_guarded)
        except asyncio.CancelledError:  # the server stops, and nobody waits for this task
            if not begun:
                stopping = self._refuse(scope, HTTPStatus.SERVICE_UNAVAILABLE, STOPPING, {})
                await stopping(scope, receive, send_guarded)
        except Exception:
            logger.exception("A request ended with an unexpected error")
            if begun:
                raise
            failed = self._refuse(scope, HTTPStatus.INTERNAL_SERVER_ERROR, _DEFECT, {})
            await failed(scope, receive, send_guarded)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        try:
            check_host(request, self._options)
            check_origin(request)
            if not is_known(request, self._options) and not _is_open(request):
                raise _not_known(request)
            check_writable(request, self._options)
            body = await read_body(request, receive)
            check_kind(request, body)
            receive = _whole(body, receive)
        except ClientDisconnect:
            return
        except Refused as error:
            response = self._refuse(scope, error.status, str(error), error.headers)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refuse(
        self, scope: Scope, status: HTTPStatus, sentence: str, headers: dict[str, str]
    ) -> Response:
        if "location" in headers:
            return RedirectResponse(headers["location"], status)
        return self._answer(Request(scope), status, sentence, headers)


#: The answer to requests that are still in progress when the server ends.
STOPPING = "This web page is being stopped, and did not wait for what was asked."

_DEFECT = "This is a defect of Tapeworks; its log has more. Please report it."


def check_host(request: Request, options: WebOptions) -> None:
    """Raise `Refused` for a request that is addressed to another host."""
    received = request.headers.getlist("host")
    found = _HOST.fullmatch(received[0]) if len(received) == 1 else None
    name = found[1].strip("[]").lower().rstrip(".") if found else ""
    if name in options.hosts or (options.any_address and _is_address(name)):
        return
    shown = ", ".join(received) or "none"
    raise Refused(
        HTTPStatus.MISDIRECTED_REQUEST,
        f"Expected one of the host names {', '.join(sorted(options.hosts))}. "
        f"Received: {shown[:200]}. Allow another with: tapeworks web --allow-host NAME",
    )


def check_origin(request: Request) -> None:
    """Raise `Refused` for a request to change something that another site has a browser send.

    A browser says where a request comes from, a program need not.
    """
    if request.method in _READING:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site not in {None, "same-origin", "none"}:
        raise _foreign(f"Sec-Fetch-Site: {site}")
    if origin is not None and not _is_own(request, origin):
        raise _foreign(f"Origin: {origin}")
    if site is None and origin is None and not request.url.path.startswith(API):
        raise _foreign("neither Origin nor Sec-Fetch-Site")


def check_writable(request: Request, options: WebOptions) -> None:
    """Raise `Refused` for a request to change something where that is not allowed."""
    is_write = request.method not in _READING and request.url.path not in _READING_POSTS
    if options.read_only and is_write:
        raise Refused(
            HTTPStatus.FORBIDDEN,
            "This web page only reads. Change runs on the command line, or start it without "
            "--read-only",
        )


def is_known(request: Request, options: WebOptions) -> bool:
    """Check that the request knows the token, by its header or the cookie; or that none is needed.

    A header that is wrong is not made right by a cookie.
    """
    if options.token is None:
        return True
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return is_same(given.strip(), options.token)
    cookie = request.cookies.get(options.cookie, "")
    return is_same(cookie, session_of(options.token))


def is_same(given: str, expected: str) -> bool:
    """Compare two secrets in a time that depends on neither."""
    pair = [hashlib.sha256(text.encode(errors="replace")).digest() for text in (given, expected)]
    return hmac.compare_digest(*pair)


def session_of(token: str) -> str:
    """The cookie of those who know the token, from which the token cannot be found."""
    return hmac.new(token.encode(), b"tapeworks-web-session", hashlib.sha256).hexdigest()


async def read_body(request: Request, receive: Receive) -> bytes:
    """Return the body. Raises `Refused` for one that is too long or does not arrive."""
    if {"content-length", "transfer-encoding"} <= set(request.headers.keys()):
        raise Refused(  # a proxy may take another end of the request for true
            HTTPStatus.BAD_REQUEST,
            "Expected either Content-Length or Transfer-Encoding. Received: both.",
        )
    length = request.headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or int(length) > MOST_BODY_BYTES:
        raise _too_long()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while (part := await receive())["type"] == "http.request":
                body += part.get("body", b"")
                if len(body) > MOST_BODY_BYTES:
                    raise _too_long()
                if not part.get("more_body", False):
                    return bytes(body)
    except TimeoutError as error:
        raise Refused(
            HTTPStatus.REQUEST_TIMEOUT,
            f"Expected the whole request within {BODY_SECONDS:g} seconds.",
        ) from error
    raise ClientDisconnect


def check_kind(request: Request, body: bytes) -> None:
    """Raise `Refused` for a body of another kind than is read here: JSON in UTF-8, and forms."""
    if request.url.path.startswith(API):
        if b"\0" in body or not _is_utf8(body):
            raise Refused(
                HTTPStatus.BAD_REQUEST, "Expected a body in UTF-8. Received: other bytes."
            )
        return
    kind = request.headers.get("content-type")
    if (body or kind is not None) and _essence(kind) != FORM:
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Expected a form, as {FORM}. Received: {kind or 'no content-type'}",
        )


def _essence(kind: str | None) -> str:
    return (kind or "").partition(";")[0].strip().lower()


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _whole(body: bytes, receive: Receive) -> Receive:
    """Return what gives the body at once, and afterwards what the connection gives."""
    parts = [body]

    async def receive_whole() -> Message:
        if parts:
            return {"type": "http.request", "body": parts.pop(), "more_body": False}
        return await receive()

    return receive_whole


def _add_headers(message: Message) -> None:
    if message["type"] == "http.response.start":
        headers = MutableHeaders(scope=message)
        for name, value in HEADERS.items():
            headers.setdefault(name, value)


def _is_open(request: Request) -> bool:
    return request.url.path.startswith(_OPEN)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_own(request: Request, origin: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and parts.netloc == request.headers["host"]


def _not_known(request: Request) -> Refused:
    path = request.url.path
    if path.startswith(API) or request.method not in _READING:
        return Refused(
            HTTPStatus.UNAUTHORIZED,
            "Expected the token of this web page, as Authorization: Bearer TOKEN.",
            www_authenticate='Bearer realm="tapeworks"',
        )
    wanted = path + (f"?{request.url.query}" if request.url.query else "")
    to_login = f"/login?next={quote(wanted, safe='')}"
    return Refused(HTTPStatus.SEE_OTHER, "Log in first.", location=to_login)


def _foreign(received: str) -> Refused:
    return Refused(
        HTTPStatus.FORBIDDEN,
        f"Expected a request of this web page itself. Received: {received[:200]}",
    )


def _too_long() -> Refused:
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"Expected a request of at most {MOST_BODY_BYTES} bytes. Received: a longer one.",
    )
