"""Source texts of users' networks: out of files, and those that this process may run, by digest.

Nothing else runs a user's code: whoever allows a source answers for where it came from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tapeworks.model.errors import NetworkError, NetworkNotAllowed
from tapeworks.model.networks.own.spec import LONGEST_SOURCE, LONGEST_SOURCE_BYTES

_allowed: dict[str, str] = {}


def source_digest(source: str) -> str:
    """SHA-256 of the text's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(source.encode()).hexdigest()


def read_source(path: str | Path) -> str:
    """Return the text of a network's file, with its very line ends. Raises `NetworkError`."""
    try:
        if Path(path).exists() and not Path(path).is_file():  # opening a pipe would wait for ever
            raise NetworkError(f"Expected a file as the network. Received: {path}, which is none.")
        with Path(path).open("rb") as file:
            content = file.read(LONGEST_SOURCE_BYTES + 1)
    except OSError as error:
        raise NetworkError(f"The network {path} cannot be read: {error.strerror}.") from error
    if len(content) > LONGEST_SOURCE_BYTES:
        raise _too_long(path, f"more than {LONGEST_SOURCE_BYTES:,} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise NetworkError(f"The network {path} is not UTF-8 text.") from error
    if len(text) > LONGEST_SOURCE:
        raise _too_long(path, f"{len(text):,}")
    return text


def _too_long(path: str | Path, received: str) -> NetworkError:
    return NetworkError(
        f"{path} is too long. Expected at most {LONGEST_SOURCE:,} characters. Received: {received}."
    )


def read_sources(directory: Path) -> Iterator[str]:
    """The texts of all networks' files that lie in a directory, but for what is none."""
    try:
        paths = sorted(path for path in directory.glob("*.py") if path.is_file())
    except OSError:
        return
    for path in paths:
        with suppress(NetworkError):
            yield read_source(path)


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
