"""Addresses of databases: how they are read, and how they are shown."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from tapeworks.storage.errors import StorageUnreachable

#: Of an address that cannot be read, and so not be shown either: a password may be in it.
UNREADABLE = (
    "Expected the path of a file, or a URL such as postgresql://user@host:5432/database, its "
    "password percent-encoded. Received: something else, not shown as it may hold a password. "
    "Write ./NAME for a file whose name looks like a URL"
)

#: Drivers that other programs name in the URLs of their PostgreSQL; the server is the same.
OTHER_DRIVERS = {"psycopg2", "psycopg2cffi", "psycopg_async", "asyncpg", "pg8000", "pygresql"}
POSTGRESQL = {"postgres", "postgresql"}
DRIVER = "postgresql+psycopg"  #: the one that is used here
POSTGRESQL |= {f"postgresql+{driver}" for driver in OTHER_DRIVERS}

#: A path that starts so is one, whatever follows.
_ANCHORED = re.compile(r"(/(?!/)|\./|\.\./|~)")

#: Of a URL that was mistyped, and of libpq's own way to name a database.
_LIKE_A_URL = re.compile(
    r"[:@]|^//|^[\w+-]+//|\?\w+=|\b(host|hostaddr|port|dbname|user|password|service)\s*=", re.ASCII
)

#: A variable that a shell, of Windows too, would have replaced. A name may have a `$` within.
_UNEXPANDED = re.compile(r"^\$\w+|\$\{\w+\}|%[A-Za-z]{3}\w*%")

#: What is no path here, but would be made as one: of Windows, and below a directory called `~`.
_ELSEWHERE = re.compile(r"([A-Za-z]:)?[\\]|[A-Za-z]:/|/+~\w*/")

#: What an env file or an editor leaves, and nobody means.
_STRAY = re.compile(r"[\x00-\x1f\x7f\ufeff]|^[\s\"']|[\s\"']$")


def parse_url(url: str | Path) -> URL:
    """Return where the database is. Raises `StorageUnreachable` for what is no address."""
    if isinstance(url, Path):
        return _file(str(url))
    try:
        url.encode()  # SQLAlchemy takes no bytes that are no text
        parsed = make_url(_with_lower_scheme(url)) if "://" in url else None
    except (ArgumentError, ValueError) as error:
        raise StorageUnreachable(UNREADABLE) from error
    if _STRAY.search(url):
        raise StorageUnreachable(UNREADABLE)
    return _file_named(url) if parsed is None else _validate(parsed)


def anchor_url(url: URL) -> URL:
    """Return the URL with the path of an SQLite file made absolute: the process may move.

    Raises `StorageUnreachable` for a relative path in a working directory that is gone.
    """
    if url.drivername != "sqlite" or url.database in {None, "", ":memory:"}:
        return url
    try:
        return url.set(database=os.path.abspath(str(url.database)))  # noqa: PTH100 - not via links
    except OSError as error:
        raise StorageUnreachable(
            f"The database {url.database} is looked for in the working directory, which is gone. "
            "Name it by its whole path, or change to another directory"
        ) from error


def show_url(url: URL) -> str:
    """Return the URL without its password, and without the driver that is ours to choose."""
    if url.drivername == DRIVER:
        url = url.set(drivername="postgresql")
    passwords = [option for option in url.query if "password" in option.lower()]
    return url.difference_update_query(passwords).render_as_string(hide_password=True)


def _validate(url: URL) -> URL:
    if "@" in (url.host or ""):  # the end of a password
        raise StorageUnreachable(UNREADABLE)
    if url.drivername == "sqlite" and url.database:
        if url.database.startswith("file:"):
            raise StorageUnreachable(UNREADABLE)
        return url.set(database=_expand_home(url.database))
    if url.drivername in POSTGRESQL | {DRIVER}:
        if re.search("[@:]", url.database or ""):  # one slash too many before a user's password
            raise StorageUnreachable(UNREADABLE)
        return _with_socket(url).set(drivername=DRIVER)
    return url


def _with_socket(url: URL) -> URL:
    """Read `%2Frun%2Fpostgresql` in the place of a host as libpq reads it: a socket's directory."""
    host = unquote(url.host or "")
    if not host.startswith("/"):
        return url
    place = {"host": host} | ({"port": str(url.port)} if url.port else {})
    return URL.create(
        url.drivername,
        username=url.username,
        password=url.password,
        database=url.database,
        query={**url.query, **place},
    )


def _with_lower_scheme(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme.lower()}{separator}{rest}"


def _file_named(text: str) -> URL:
    if not _ANCHORED.match(text) and _LIKE_A_URL.search(text):
        raise StorageUnreachable(UNREADABLE)
    return _file(text)


def _file(path: str) -> URL:
    return URL.create("sqlite", database=str(Path(_expand_home(path))))


def _expand_home(path: str) -> str:
    """The path with its `~` replaced; no shell has read it."""
    if found := _UNEXPANDED.search(path):
        raise StorageUnreachable(
            "Expected the path of a database, in which only ~ is expanded. "
            f"Received: {path}. Write the path in place of {found[0]}"
        )
    if _ELSEWHERE.match(path):
        raise StorageUnreachable(
            "Expected the path of a database as this system writes paths, such as "
            f"/data/runs.db or ~/runs.db. Received: {path}"
        )
    expanded = os.path.expanduser(path)  # noqa: PTH111 - Path forgets the ./ of ./~name
    if expanded.startswith("~"):
        raise StorageUnreachable(
            f"There is no home directory for the database {path}. "
            f"Write ./{path} if it is a file's name"
        )
    return expanded
