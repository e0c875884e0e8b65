"""Addresses of a private Redis for programs that know nothing of ours."""

from __future__ import annotations

from urllib.parse import quote

from redis.connection import parse_url


def for_kombu(url: str) -> str:
    """Return the URL of a socket as kombu's own transport reads it."""
    options = parse_url(url)  # type: ignore[no-untyped-call]
    password, path = quote(options.get("password", ""), ""), quote(options["path"])
    return f"redis+socket://:{password}@{path}?virtual_host={options.get('db', 0)}"
