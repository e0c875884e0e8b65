"""Requests to a `tapeworks web` over REST, each answered with values or an error of ours."""

from __future__ import annotations

import functools
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeVar

import httpx2
from pydantic import TypeAdapter, ValidationError

from tapeworks.errors import InvalidValue, UsageError, WebUnreachable, restore_error
from tapeworks.model.plain import plain
from tapeworks.storage.actors import own_actor

#: Seconds for an answer: a large grid is prepared within the request.
ANSWER_SECONDS = 120.0

#: How often a request is sent that may be repeated, before the page counts as unreachable.
ATTEMPTS = 3

#: Items of a page: the most that are given at once.
MOST_ITEMS = 1000

Kind = TypeVar("Kind")


class Connection:
    """Requests to one page, each answered with values or with the error that was meant."""

    def __init__(self, address: str, token: str | None) -> None:
        self.address = address.rstrip("/")
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if (user := own_actor().user).isascii():  # a header is
            self._headers["Tapeworks-User"] = user
        self._opened: tuple[int, httpx2.Client] | None = None

    def get(self, path: str, **query: Any) -> Any:
        """Return what the answer's JSON holds."""
        return _read_json(self.ask("GET", path, params=_given(query)))

    def send(
        self, method: str, path: str, body: Mapping[str, Any], *, has_key: bool = False
    ) -> Any:
        """Return what the answer's JSON holds; a request with a key of its own may be repeated."""
        headers = {"Content-Type": "application/json"}
        if has_key:
            headers["Idempotency-Key"] = uuid.uuid4().hex
        content = json.dumps(body, default=_as_json)
        return _read_json(self.ask(method, path, content=content, headers=headers))

    def items(self, path: str, kind: type[Kind], **query: Any) -> Iterator[Kind]:
        """Return all items of a listing, page after page, as values of this kind."""
        cursor = None
        while True:
            page = self.get(path, **{"limit": MOST_ITEMS, **query, "cursor": cursor})
            yield from (as_kind(kind, item) for item in page["items"])
            if (cursor := page["next_cursor"]) is None:
                return

    def ask(self, method: str, path: str, **request: Any) -> httpx2.Response:
        """Return the answer. Raises the error that the problem names, or `WebUnreachable`."""
        may_repeat = method == "GET" or "Idempotency-Key" in request.get("headers", {})
        for attempt in range(ATTEMPTS if may_repeat else 1):
            try:
                answer = self._client().request(method, f"{self.address}/api/v1{path}", **request)
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                if may_repeat and attempt + 1 < ATTEMPTS:
                    continue
                raise WebUnreachable(
                    f"Cannot ask the web page at {self.address}: {error}"
                ) from error
            if answer.is_success:
                return answer
            raise read_problem(self.address, answer)
        raise AssertionError  # the last attempt returns or raises

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        if self._opened and self._opened[0] == os.getpid():
            self._opened[1].close()
        self._opened = None

    def _client(self) -> httpx2.Client:
        """Return connections of this process: those of a parent are the parent's."""
        if self._opened is None or self._opened[0] != os.getpid():
            client = httpx2.Client(headers=self._headers, timeout=ANSWER_SECONDS)
            self._opened = os.getpid(), client
        return self._opened[1]


def read_problem(address: str, answer: httpx2.Response) -> Exception:
    """Return the error that the page met, with its sentence."""
    try:
        problem = answer.json()
        sentence, name = str(problem["detail"]), str(problem.get("error"))
    except (ValueError, KeyError, TypeError, AttributeError):
        status = answer.status_code
        return WebUnreachable(f"Expected a tapeworks web at {address}. Received: status {status}.")
    if (error := restore_error(name, sentence)) is not None:
        return error
    if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        return WebUnreachable(sentence)
    return UsageError(sentence)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _read_json(answer: httpx2.Response) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        place = answer.request.url
        raise WebUnreachable(f"Expected JSON from a tapeworks web at {place}.") from error


def as_kind(kind: type[Kind], values: Any) -> Kind:
    """Return what an answer holds as a value of this kind. Raises `WebUnreachable`."""
    try:
        adapter: TypeAdapter[Kind] = _adapter(kind)  # type: ignore[arg-type]
        found: Kind = _with_own_times(adapter.validate_python(values))
    except ValidationError as error:
        raise WebUnreachable(
            f"Expected the answer of a tapeworks web of this version. Received: {error.title} "
            "that is none."
        ) from error
    return found


def _with_own_times(value: Any) -> Any:
    """Give the times of a record Python's own UTC in place of pydantic's."""
    if not is_dataclass(value) or isinstance(value, type):
        return value
    read = {one.name: getattr(value, one.name) for one in fields(value)}
    times = {name: one for name, one in read.items() if isinstance(one, datetime)}
    return replace(value, **{name: one.astimezone(UTC) for name, one in times.items()})


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _as_json(value: Any) -> Any:
    """A value of another library as Python's own."""
    own = plain(value)
    if own is value:
        raise InvalidValue("numbers, text, truth values or lists of them", "value", value)
    return own
