"""The OpenAPI document: FastAPI's, with problems of their own media type and the token."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tapeworks.web.problems import PROBLEM_JSON, Problem

#: Every request may be answered so.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    HTTPStatus.BAD_REQUEST: {"description": "The body is not UTF-8"},
    HTTPStatus.UNAUTHORIZED: {"description": "The token is missing or wrong"},
    HTTPStatus.FORBIDDEN: {"description": "Nothing may be changed, or not by this client"},
    HTTPStatus.NOT_FOUND: {"description": "It is not there: exit code 3"},
    HTTPStatus.CONFLICT: {"description": "The run stands otherwise; nothing was written"},
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: {"description": "The body is too long"},
    HTTPStatus.MISDIRECTED_REQUEST: {"description": "Addressed to another host"},
    HTTPStatus.UNPROCESSABLE_ENTITY: {"description": "It cannot work: exit code 2"},
    HTTPStatus.SERVICE_UNAVAILABLE: {"description": "The database cannot be used: exit code 4"},
}
for _answer in PROBLEMS.values():
    _answer["model"] = Problem


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary="Runs and their history, as the command line has them",
            description="See docs/rest.md. Errors are problem+json with one sentence.",
            routes=app.routes,
        )
        for path in document["paths"].values():
            for operation in path.values():
                _set_media_type(operation["responses"])
        schemes = {"token": {"type": "http", "scheme": "bearer"}}
        document["components"]["securitySchemes"] = schemes
        document["security"] = [{}, {"token": []}]
        app.openapi_schema = document
    return app.openapi_schema


def _set_media_type(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        if int(status) >= HTTPStatus.BAD_REQUEST:
            [content] = response["content"].values()
            response["content"] = {PROBLEM_JSON: content}
