"""Entries of the queue, made by hand."""

from __future__ import annotations

import base64
import json
from typing import Any

from workers.entries import TASK

#: Later than any test ends.


def argument(raw: bytes) -> str:
    """Return the argument that Celery would hand to the task."""
    [[sealed], _, _] = json.loads(base64.b64decode(json.loads(raw)["body"]))
    assert isinstance(sealed, str)
    return sealed


def body(*parts: Any) -> str:
    """Arguments, named arguments and what Celery does afterwards."""
    return base64.b64encode(json.dumps(parts).encode()).decode()


def entry(
    sealed: str,
    *,
    headers: dict[str, Any] | None = None,
    properties: dict[str, Any] | None = None,
    top: dict[str, Any] | None = None,
) -> bytes:
    """As Celery writes it, but for what is given."""
    written = {
        "body": body([sealed], {}, {"callbacks": None, "errbacks": None, "chain": None}),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": TASK, "id": "ab-12", "expires": None} | (headers or {}),
        "properties": {"body_encoding": "base64", "delivery_tag": "t"} | (properties or {}),
    }
    return json.dumps(written | (top or {})).encode()
