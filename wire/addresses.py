"""Redis URLs and how they are shown; read also by commands that need no Redis client."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote

from tapeworks.model.settings import Setting, Settings
from tapeworks.wire.errors import PasswordUnusable

#: A longer file is taken for another one that was named by mistake, in bytes.
LARGEST_BYTES = 4096

#: A URL with room for a password: scheme, perhaps a user, and no password.
_WITH_ROOM = re.compile(r"^([\w+.-]+://)(?:([^:/?#@]*)@)?((?!:)[^@?]*(?:\?.*)?)$", re.DOTALL)

#: Where Redis is looked for when nothing is named.
DEFAULT_URL = Settings.redis_url.default

#: As far as the last @, for a password may hold one, or a slash, if nobody has quoted it.
_USER_PASSWORD = re.compile(r"^((?:\w+:/+)?+[^:@]*):.*@", re.DOTALL)

#: A URL of Redis whose every part is where it belongs: what stands before an @ is recognised.
_IN_FORM = re.compile(
    r"^(rediss?://(.*@)?(\[[\da-f:.]+\]|[^@:/?]*)(:\d*)?(/\d*)?|unix://[^@]*)(\?[^@]*)?$", re.DOTALL
)

#: Of `password` and of `ssl_password`.
_OPTION_PASSWORD = re.compile(r"(password=)[^&]*", re.IGNORECASE)

#: The same anywhere in a text: an address ends where the word does.
_USER_PASSWORD_WITHIN = re.compile(r"(\w+://[^\s:@/]*):[^\s\"']*@")

_OPTION_PASSWORD_WITHIN = re.compile(r"(password=)[^&\s\"']*", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """The settings that name a server and the file with its password."""

    url: Setting[str] | Setting[str | None]
    file: Setting[Path | None]
    example: str  #: a URL with room for a password

    @property
    def url_variable(self) -> str:
        """The name of the variable with the URL."""
        return self.url.variable

    @property
    def file_variable(self) -> str:
        """The name of the variable with the path of the password's file."""
        return self.file.variable

    @property
    def variables(self) -> tuple[str, str]:
        """The names of both variables."""
        return self.url_variable, self.file_variable

    def read(self, settings: Settings) -> str | None:
        """The URL that is set, with the password of the file in it, if any; None without both.

        A password makes the default a named one. Raises `PasswordUnusable`, and model's
        `VariableUnreadable`.
        """
        url, file = self.url.read(settings), self.file.read(settings)
        if file is None:
            return url
        return self._insert_password(
            url or self.url.default or "", password_in(file, self.file_variable)
        )

    def _insert_password(self, url: str, password: str) -> str:
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
        return "has more than one line, or unprintable characters"
    return None


def _unusable(path: Path, named_by: str, why: str) -> PasswordUnusable:
    shown = str(path).encode(errors="backslashreplace").decode()
    named = f", as named by {named_by}" if named_by else ""
    return PasswordUnusable(
        f"Expected a file with a password in one line{named}. Received: {shown}, which {why}."
    )


#: How the environment names a Redis.
REDIS = Address(
    url=Settings.redis_url,
    file=Settings.redis_password_file,
    example="redis://worker@127.0.0.1:6379/0",
)


def redis_url(settings: Settings) -> str:
    """The Redis that is named, else the usual one. Raises as `Address.read` does."""
    return REDIS.read(settings) or DEFAULT_URL


def without_password(url: str) -> str:
    """The URL, fit to be shown, whether or not it can be parsed."""
    shown = _USER_PASSWORD.sub(r"\1:***@", url)
    shown = _OPTION_PASSWORD.sub(r"\1***", shown)
    return shown.encode(errors="backslashreplace").decode()


def redact(url: str) -> str:
    """Return an invalid address, or a note that it is not shown: it may be a password."""
    if _IN_FORM.match(url):
        return without_password(url)
    return "something else, not shown as it may hold a password"


def without_passwords(text: str) -> str:
    """The text, the passwords of all URLs in it made unreadable."""
    shown = _USER_PASSWORD_WITHIN.sub(r"\1:***@", text)
    return _OPTION_PASSWORD_WITHIN.sub(r"\1***", shown)


def passwords(*urls: str) -> set[str]:
    """The passwords in these URLs, as they are written and as they are meant."""
    found = set()
    for url in urls:
        authority = url.partition("://")[2].rpartition("@")[0]
        written = {authority.partition(":")[2], *re.findall(r"password=([^&]*)", url)}
        found |= written | {unquote(one) for one in written}
    return found - {""}
