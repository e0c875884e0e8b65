"""The query of a page's URL: nothing of it is ignored, and nothing lost on the way."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, Request

from tapeworks.errors import UsageError


def asks(*names: str) -> Any:
    """Let a route refuse every parameter of the URL but these, with a `UsageError`."""

    def check(request: Request) -> None:
        for name in request.query_params:
            if name not in names:
                expected = f"only {', '.join(names)}" if names else "no parameter"
                raise UsageError(
                    f"Expected {expected} at {request.url.path}. Received: {name}="
                    f"{request.query_params[name]}"
                )

    return Depends(check)


def with_query(path: str, query: str) -> str:
    """The path with the same questions."""
    return f"{path}?{query}" if query else path
