"""Entries of the queue, taken apart and spoilt by hand."""

from __future__ import annotations

import base64
import json
from typing import Any

#: What Celery writes of what is to be done afterwards, if nothing is.
EMBEDDED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def argument(raw: bytes) -> str:
    """Return the argument that Celery would hand to the task."""
    [[sealed], _, _] = json.loads(base64.b64decode(json.loads(raw)["body"]))
    assert isinstance(sealed, str)
    return sealed


def body(*parts: Any) -> str:
    """Arguments, named arguments and what Celery does afterwards."""
    return base64.b64encode(json.dumps(parts).encode()).decode()


def changed(
    raw: bytes,
    *,
    headers: dict[str, Any] | None = None,
    properties: dict[str, Any] | None = None,
    top: dict[str, Any] | None = None,
) -> bytes:
    """Return the entry with these fields added or in the place of what it has."""
    written = json.loads(raw)
    written["headers"] |= headers or {}
    written["properties"] |= properties or {}
    return json.dumps(written | (top or {})).encode()
