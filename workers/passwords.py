"""Passwords from files, put into the URLs of Redis and of the database."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote

from tapeworks.model.environment import path_variable, variable
from tapeworks.workers.errors import PasswordUnusable

#: A longer file is taken for another one that was named by mistake, in bytes.
LARGEST_BYTES = 4096

#: A URL with room for a password: scheme, perhaps a user, and no password.
_WITH_ROOM = re.compile(r"^([\w+.-]+://)(?:([^:/?#@]*)@)?((?!:)[^@?]*(?:\?.*)?)$", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """The variables that name a server and the file with its password."""

    url_variable: str
    file_variable: str
    example: str  #: a URL with room for a password

    @property
    def variables(self) -> tuple[str, str]:
        """The names of both variables."""
        return self.url_variable, self.file_variable

    def named(self, environment: Mapping[str, str], default: str | None) -> str | None:
        """The URL that is named, else the default, with the password of the file in it, if any.

        An empty variable counts as not set. A password makes the default a named one. Raises
        `PasswordUnusable`, and model's `VariableUnreadable`.
        """
        url = variable(environment, self.url_variable)
        file = path_variable(environment, self.file_variable)
        if file is None:
            return url
        return self._filled(url or default or "", password_in(file, self.file_variable))

    def _filled(self, url: str, password: str) -> str:
        parts = _WITH_ROOM.match(url)
        if not parts or "password" in parse_qs(url.partition("?")[2]):
            raise PasswordUnusable(
                f"Expected {self.url_variable} without a password, such as {self.example}, because "
                f"{self.file_variable} names a file with it. Received: a URL with a password, or "
                "one that cannot have any, not shown. Take the password out of the URL, or unset "
                f"{self.file_variable}."
            )
        scheme, user, rest = parts.groups(default="")
        return f"{scheme}{user}:{quote(password, safe='')}@{rest}"


def password_in(path: Path, named_by: str = "") -> str:
    """The password that a file holds in its one line. Raises `PasswordUnusable`."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
        password = content.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise _unusable(path, named_by, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _unusable(path, named_by, "is no text") from error
    if why := _why_not(password, len(content)):
        raise _unusable(path, named_by, why)
    return password


def _why_not(password: str, length: int) -> str | None:
    if length > LARGEST_BYTES:
        return f"is longer than {LARGEST_BYTES} bytes"
    if not password:
        return "is empty"
    if not password.isprintable():
        return "has more than one line, or characters that nobody types"
    return None


def _unusable(path: Path, named_by: str, why: str) -> PasswordUnusable:
    shown = str(path).encode(errors="backslashreplace").decode()
    named = f", as named by {named_by}" if named_by else ""
    return PasswordUnusable(
        f"Expected a file with a password in one line{named}. Received: {shown}, which {why}."
    )
