"""Redis URLs and how they are shown; read also by commands that need no Redis client."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from tapeworks.workers.passwords import Address

#: Where Redis is looked for when nothing is named.
DEFAULT_URL = "redis://127.0.0.1:6379/0"

#: How the environment names a Redis.
REDIS = Address(
    url_variable="TAPEWORKS_REDIS_URL",
    file_variable="TAPEWORKS_REDIS_PASSWORD_FILE",
    example="redis://worker@127.0.0.1:6379/0",
)

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


def redis_url(environment: Mapping[str, str]) -> str:
    """The Redis that the environment names, else the usual one. Raises as `Address.named` does."""
    return REDIS.named(environment, DEFAULT_URL) or DEFAULT_URL


def without_password(url: str) -> str:
    """The URL, fit to be shown, whether or not it can be parsed."""
    shown = _USER_PASSWORD.sub(r"\1:***@", url)
    shown = _OPTION_PASSWORD.sub(r"\1***", shown)
    return shown.encode(errors="backslashreplace").decode()


def shown(url: str) -> str:
    """Return an address that is of no use, or that it is not shown: it may be a password."""
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
