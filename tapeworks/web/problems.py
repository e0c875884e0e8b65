"""Errors as answers: the command line's sentences, and a status that means what its exit code does.

Programs get them as problem+json (RFC 9457), people as a page.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from tapeworks.errors import EXPECTED, ExitCode, exit_code
from tapeworks.model.config import RunConfig
from tapeworks.model.given_settings import format_value
from tapeworks.storage.errors import (
    RightMissing,
    SchemaMismatch,
    StateConflict,
    StorageUnreachable,
)
from tapeworks.web.unchanged import Unchanged, answer_unchanged

#: What the paths of the REST interface begin with.
API = "/api/"

#: Where its OpenAPI document is.
DESCRIPTION = f"{API}v1/openapi.json"

#: Words that people try for pausing and cancelling.
_STOPPING = {"stop", "kill", "abort", "end", "terminate"}

PROBLEM_JSON = "application/problem+json"

#: Seconds after which to ask again where the database, or a place for a query, is missing.
AGAIN_SECONDS = 5

_METHODS = ("GET", "POST", "PATCH", "DELETE")

_STATUSES = {
    ExitCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ExitCode.UNREACHABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ExitCode.RUN_FAILED: HTTPStatus.CONFLICT,
    ExitCode.INTERRUPTED: HTTPStatus.SERVICE_UNAVAILABLE,
}


class Problem(BaseModel):
    """One sentence on why a request was not answered."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    #: The name of Python's exception, as `tapeworks.storage.errors` has it; None of others.
    error: str | None = None


#: Of a page that says in one sentence why there is no other: `outage` of the database and `passing`
#: come to an end by themselves, and the page is loaded again then; `unsure` is of a form that may
#: or may not have been carried out before something ended.
ProblemKind = Literal["outage", "passing", "unsure", "lasting"]


class Refused(Exception):
    """A request that is not answered, whatever is asked."""

    def __init__(self, status: HTTPStatus, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def status_of(error: Exception) -> HTTPStatus:
    """The status for one of the `EXPECTED` errors."""
    match error:
        case StateConflict():
            return HTTPStatus.CONFLICT
        case SchemaMismatch():
            return HTTPStatus.SERVICE_UNAVAILABLE
        case RightMissing():
            return HTTPStatus.FORBIDDEN
    return _STATUSES.get(exit_code(error), HTTPStatus.UNPROCESSABLE_ENTITY)


def answer_problem(
    request: Request,
    status: HTTPStatus,
    sentence: str,
    headers: dict[str, str] | None = None,
    error: Exception | None = None,
) -> Response:
    """Return the sentence as the client of this path reads it; `error` is what led to it."""
    shown = " ".join(sentence.split()).encode(errors="backslashreplace").decode()
    headers = dict(headers or {})
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.setdefault("retry-after", str(AGAIN_SECONDS))
    if request.url.path.startswith(API):
        name = type(error).__name__ if error else None
        found = Problem(title=status.phrase, status=status, detail=shown, error=name)
        return JSONResponse(found.model_dump(), status, headers=headers, media_type=PROBLEM_JSON)
    kind = _kind_of(request, status, error)
    response: Response = request.app.state.site.render_problem(request, status, shown, kind)
    response.headers.update(headers)
    return response


def _kind_of(request: Request, status: HTTPStatus, error: Exception | None) -> ProblemKind:
    if status != HTTPStatus.SERVICE_UNAVAILABLE:
        return "lasting"
    if request.method not in {"GET", "HEAD"}:
        return "unsure"
    return "outage" if isinstance(error, StorageUnreachable) else "passing"


def add_handlers(app: FastAPI) -> None:
    """Have every error answered in one sentence."""
    for kind in EXPECTED:
        app.add_exception_handler(kind, _answer_expected)
    app.add_exception_handler(Refused, _answer_refused)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Unchanged, answer_unchanged)


def _answer_expected(request: Request, error: Exception) -> Response:
    return answer_problem(request, status_of(error), str(error), error=error)


def _answer_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - as it was registered
    return answer_problem(request, error.status, str(error), error.headers)


def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as it was registered
    sentence = _sentence(request, error.errors()[0])
    return answer_problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, sentence)


def _sentence(request: Request, first: dict[str, Any]) -> str:
    """One thing that is wrong with a request, as the command line says it of a setting."""
    kind = request.headers.get("content-type", "none")
    if first["loc"] == ("body",) and first["type"] != "missing" and "json" not in kind:
        return (
            "Expected a body in JSON, and the header Content-Type: application/json. "
            f"Received: Content-Type: {kind[:200]}"
        )
    if first["type"] == "json_invalid":
        return f"Expected a body in JSON. Received: other text, {first['ctx']['error']}."
    name = ".".join(map(str, first["loc"][1:])) or "body"
    if first["type"] == "missing":
        return f"{name}: expected a value. Received: none."
    is_setting = first["loc"][0] == "body" and name in RunConfig.model_fields
    if first["type"] == "extra_forbidden" and is_setting:
        place = "changes" if request.url.path.endswith("/retry") else "config"
        return f"{name}: settings of a run go into {place}. Received: {name} beside it."
    problem = first["msg"][0].lower() + first["msg"][1:]
    return f"{name}: {problem}. Received: {name}={format_value(first['input'])}."


def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as it was registered
    status = HTTPStatus(error.status_code)
    path = request.url.path
    sentences = {
        HTTPStatus.NOT_FOUND: f"There is nothing at {path}. {_way_on(path)}",
        HTTPStatus.BAD_REQUEST: "Expected a body that can be read. Received: other bytes.",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method} is not possible at {path}.",
    }
    sentence = sentences.get(status, str(error.detail))
    headers = dict(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods_at(request)))
    return answer_problem(request, status, sentence, headers)


def _way_on(path: str) -> str:
    """The sentence on where to look for what somebody expected at the path."""
    last = path.rstrip("/").rpartition("/")[2]
    is_of_programs = f"{path}/".startswith(API)
    if last in _STOPPING and is_of_programs:
        where = f"POST {API}v1/runs/RUN/"
        return f"A run is stopped for now or for good at {where}pause or {where}cancel."
    if last in _STOPPING:
        return "A run is paused or cancelled on its page, /runs/RUN."
    if is_of_programs:
        return f"All requests that are possible: {DESCRIPTION}"
    return "All runs are at /runs, one at /runs/RUN, by its id or name."


def _methods_at(request: Request) -> set[str]:
    """The methods of all routes at the path; HEAD is answered wherever GET is."""
    possible = {method for method in _METHODS if _is_possible(request, method)}
    return possible | ({"HEAD"} if "GET" in possible else set())


def _is_possible(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method, "root_path": ""}  # a mount has changed it
    return any(
        method == "GET" or not isinstance(route, Mount)  # files, which are only read
        for route in request.app.routes
        if route.matches(scope)[0] is Match.FULL
    )
