"""Passwords from files, put into the URLs of Redis and of the database."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote

from workers.errors import PasswordUnusable

#: A longer file is taken for another one that was named by mistake, in bytes.
LARGEST_BYTES = 4096

#: A URL with room for a password: scheme, perhaps a user, and no password.
_WITH_ROOM = re.compile(r"^([\w+.-]+://)(?:([^:/?#@]*)@)?((?!:)[^@?]*(?:\?.*)?)$", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where the environment names a server, and the file with its password."""

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
        `PasswordUnusable`.
        """
        url = environment.get(self.url_variable) or None
        file = environment.get(self.file_variable) or None
        if file is None:
            return url
        return self._filled(url or default or "", self._password(file))

    def _password(self, file: str) -> str:
        try:
            with Path(file).open("rb") as opened:
                content = opened.read(LARGEST_BYTES + 1)
        except OSError as error:
            raise self._unusable(file, f"cannot be read: {error.strerror}") from error
        if len(content) > LARGEST_BYTES:
            raise self._unusable(file, f"is longer than {LARGEST_BYTES} bytes")
        try:
            password = content.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise self._unusable(file, "is no text") from error
        if not password:
            raise self._unusable(file, "is empty")
        if len(password.splitlines()) > 1 or not password.isprintable():
            raise self._unusable(file, "has more than one line, or characters that nobody types")
        return password

    def _unusable(self, file: str, why: str) -> PasswordUnusable:
        shown = file.encode(errors="backslashreplace").decode()
        return PasswordUnusable(
            f"Expected a file with a password in one line, as named by {self.file_variable}. "
            f"Received: {shown}, which {why}."
        )

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
