"""Source texts of users' networks that this process may run, by digest.

Nothing else runs a user's code: whoever allows a source answers for where it came from.
"""

from __future__ import annotations

import hashlib

from tapeworks.model.errors import NetworkNotAllowed

_allowed: dict[str, str] = {}


def source_digest(source: str) -> str:
    """SHA-256 of the text's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(source.encode()).hexdigest()


def allow(source: str) -> str:
    """Let this process run a source; return its digest."""
    digest = source_digest(source)
    _allowed[digest] = source
    return digest


def is_allowed(digest: str) -> bool:
    """Check that this process may run the source with this digest, and has it."""
    return digest in _allowed


def find_source(digest: str) -> str:
    """Return an allowed source. Raises `NetworkNotAllowed`."""
    try:
        return _allowed[digest]
    except KeyError:
        raise NetworkNotAllowed(
            f"Expected a network that this process may run. Received: {digest}."
        ) from None
