"""Addresses of databases: how they are read, and how they are shown."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from storage.errors import StorageUnreachable

#: Of an address that cannot be read, and so not be shown either: a password may be in it.
UNREADABLE = (
    "Expected the path of a file, or a URL such as postgresql://user@host:5432/database, its "
    "password percent-encoded. Received: something else, not shown as it may hold a password"
)


def parse_url(url: str | Path) -> URL:
    """Return where the database is. Raises `StorageUnreachable` for what is no address."""
    try:
        str(url).encode()  # SQLAlchemy takes no bytes that are no text
        parsed = make_url(str(url)) if "://" in str(url) else _file(Path(url))
    except (ArgumentError, ValueError) as error:
        raise StorageUnreachable(UNREADABLE) from error
    if "@" in (parsed.host or ""):  # the end of a password
        raise StorageUnreachable(UNREADABLE)
    if parsed.drivername in {"postgres", "postgresql"}:
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def _file(path: Path) -> URL:
    try:
        return URL.create("sqlite", database=str(path.expanduser()))
    except RuntimeError as error:
        raise StorageUnreachable(f"There is no home directory for the database {path}.") from error


def show_url(url: URL) -> str:
    """Return the URL without its password."""
    passwords = [option for option in url.query if "password" in option.lower()]
    return url.difference_update_query(passwords).render_as_string(hide_password=True)
