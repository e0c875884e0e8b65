"""Errors of a database turned into ours, and units of work that are retried."""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    DisconnectionError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    PendingRollbackError,
    ProgrammingError,
    ResourceClosedError,
    SQLAlchemyError,
    StatementError,
    TimeoutError,  # noqa: A004 - of the pool
)

from tapeworks.storage.errors import (
    DatabaseLocked,
    DatabaseReadOnly,
    FileReadOnly,
    RightMissing,
    StateConflict,
    StorageError,
    StorageRefused,
    StorageUnreachable,
    TablesChanged,
)

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

#: PostgreSQL's codes of a user without a right, and of a server or user that only reads.
MISSING_RIGHT, READ_ONLY_TRANSACTION = "42501", "25006"

#: PostgreSQL's codes of a table, a column and a schema that are not there, and SQLite's words.
UNDEFINED = ("42P01", "42703", "3F000")
MISSING_PARTS = ("no such table: ", "no such column: ", "has no column named ")

#: The sentence of a missing right.
REFUSED = (
    "The database {} refused this user ({}). Its owner may do everything, a submitter "
    "submit and change runs: name a role that may, see docs/deployment.md"
)

#: The remedy for a full disk.
FULL = "Make room on its disk, or name a file on another."

#: Bytes of free room below which a disk is full: SQLite needs some for what it keeps beside a file.
LEAST_ROOM_BYTES = 2**20

#: The remedy for a wrong password and for none.
AUTHENTICATION = (
    "Name the file with its password in TAPEWORKS_DATABASE_PASSWORD_FILE, or the password in the "
    "URL."
)

#: What a driver says, and what a person can do about it.
REMEDIES = {
    "database is locked": "Another program keeps it locked; end that program or try again.",
    "disk is full": FULL,
    "readonly": "Make the file and its directory writable, or name another file.",
    "read-only transaction": "If it is a standby, name the primary; if it protects itself, make"
    " room on its disk; else run: ALTER ROLE user SET default_transaction_read_only = off",
    "unable to open": "Name a file in a directory that can be written to.",
    "image is malformed": "It is damaged: copy it, look with: sqlite3 FILE 'PRAGMA"
    " integrity_check', and put a backup in its place.",
    "connection is bad: invalid": "Correct that in the URL.",
    "definition of service": "Name one of those in pg_service.conf.",
    "invalid connection option": "Take it out of the URL; libpq's own are named sslmode=require,"
    " options=-csearch_path%3DSCHEMA and so on.",
    "has no equivalent in encoding": "Make a database that holds every text with: createdb"
    " --encoding UTF8 --template template0",
    "not a database": "Name another file, or move this one away.",
    "certificate verify failed": "Its certificate has expired, or is not signed by an authority"
    " trusted here: renew it, or name its CA with sslrootcert=/path/ca.pem in the URL.",
    "does not match host name": "Name the server in the URL as its certificate does.",
    "root certificate file": "Name the file of your server's CA with sslrootcert=/path/ca.pem.",
    "does not support SSL": "It does not speak TLS: set ssl = on in its postgresql.conf.",
    "no encryption": "It wants TLS: put sslmode=verify-full and sslrootcert=/path/ca.pem in the"
    " URL.",
    "unsupported startup parameter": "Take it out of the URL, or have the pooler ignore it with"
    " ignore_startup_parameters.",
    "statement pooling mode": "Set pool_mode = transaction or session in the pooler.",
    "password authentication failed": AUTHENTICATION,
    "no password supplied": AUTHENTICATION,
}

#: PostgreSQL's words for a database or a role that it does not have.
_NOT_THERE = re.compile(r'FATAL: (database|role) "[^"]*" does not exist')

#: The remedy for everything else that keeps a server from being used, and a file.
ELSE = "Check the address, the disk, and that the server is running."
FILE_ELSE = "Check the file and its disk."

#: What a driver says when waiting does not help: a person must change the database or its address.
#: An unknown sentence, perhaps in another language, is one of an outage.
REFUSALS = (
    "unable to open",
    "not a database",
    "image is malformed",
    "connection is bad: invalid",
    "definition of service",
    "certificate",
    "does not match host name",
    "does not support SSL",
    "no encryption",
    "no pg_hba.conf entry",
    "password authentication failed",
    "no password supplied",
    "does not exist",  # a role or a database
)

#: Of SQLAlchemy itself: a connection was lost, or none was to be had in time.
_OUTAGES = (TimeoutError, DisconnectionError, PendingRollbackError, ResourceClosedError)


class Repeat(Protocol):
    """Runs a unit of work, retried until it succeeds."""

    def __call__(self, unit: Callable[[], _Result], /) -> _Result:
        """Return the result of the unit."""


def once(unit: Callable[[], _Result]) -> _Result:
    """Run it without retries."""
    return unit()


class Repeating(Protocol):
    """An object whose units of work are retried."""

    _repeat: Repeat


_Self = TypeVar("_Self", bound=Repeating)


def unit_of_work(
    method: Callable[Concatenate[_Self, _Arguments], _Result],
) -> Callable[Concatenate[_Self, _Arguments], _Result]:
    """Make a method one that may be retried as a whole; it must be idempotent."""

    @functools.wraps(method)
    def repeat(self: _Self, /, *arguments: _Arguments.args, **named: _Arguments.kwargs) -> _Result:
        return self._repeat(lambda: method(self, *arguments, **named))

    return repeat


@contextmanager
def translate_errors(address: str) -> Iterator[None]:
    """Raise a `StorageError` for every error of the database at this address."""
    try:
        yield
    except SQLAlchemyError as error:
        raise _ours(address, error) from error


def _ours(address: str, error: SQLAlchemyError) -> StorageError:
    words = _words(error)
    if isinstance(error, IntegrityError):
        return StateConflict(
            f"The database {address} refused a row that is stored already or belongs to nothing: "
            f"{words}"
        )
    if _state(error) == MISSING_RIGHT:
        return RightMissing(REFUSED.format(address, words))
    if _state(error) in UNDEFINED or any(sign in words for sign in MISSING_PARTS):
        return TablesChanged(address, words)
    if _is_about_access(error):
        kind, remedy = _kind_of(error, words), _remedy(words) or _explain_rest(address)
        return kind(f"Cannot use the database {address}: {words}. {remedy}")
    return StorageError(f"The database {address} failed: {words}. {_remedy(words)}".rstrip(" ."))


#: Before the path in the address of an SQLite file.
SQLITE = "sqlite:///"


def _explain_rest(address: str) -> str:
    """Name a full disk, which SQLite reports as an error of any kind."""
    if not address.startswith(SQLITE):
        return ELSE
    with suppress(OSError):
        if shutil.disk_usage(Path(address.removeprefix(SQLITE)).parent).free < LEAST_ROOM_BYTES:
            return f"Its disk is full. {FULL}"
    return FILE_ELSE


def _kind_of(error: SQLAlchemyError, words: str) -> type[StorageUnreachable]:
    if _state(error) == READ_ONLY_TRANSACTION:
        return DatabaseReadOnly
    if "readonly" in words:
        return FileReadOnly
    if "database is locked" in words:
        return DatabaseLocked
    return StorageRefused if any(sign in words for sign in REFUSALS) else StorageUnreachable


def _state(error: SQLAlchemyError) -> str | None:
    """PostgreSQL's code of the error."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def _is_about_access(error: SQLAlchemyError) -> bool:
    if isinstance(error, DataError | ProgrammingError | NotSupportedError):
        return False
    return isinstance(error, (DatabaseError, InterfaceError, *_OUTAGES))


def _words(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, StatementError) else error
    words, _question, _rest = " ".join(str(cause).split()).partition(" Is the server running")
    return words.rstrip(".")


def _remedy(words: str) -> str:
    if found := _NOT_THERE.search(words):
        return (
            f"There is no such {found[1]} on that server: name another in the URL, or create it, "
            "see docs/deployment.md."
        )
    for sign, remedy in REMEDIES.items():
        if sign in words:
            return remedy
    return ""
