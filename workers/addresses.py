"""Redis URLs and how they are shown; read also by commands that need no Redis client."""

from __future__ import annotations

import re
from collections.abc import Mapping

from workers.passwords import Address

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

#: Of `password` and of `ssl_password`.
_OPTION_PASSWORD = re.compile(r"(password=)[^&]*", re.IGNORECASE)


def redis_url(environment: Mapping[str, str]) -> str:
    """The Redis that the environment names, else the usual one. Raises `PasswordUnusable`."""
    return REDIS.named(environment, DEFAULT_URL) or DEFAULT_URL


def without_password(url: str) -> str:
    """The URL, fit to be shown, whether or not it can be parsed."""
    shown = _USER_PASSWORD.sub(r"\1:***@", url)
    shown = _OPTION_PASSWORD.sub(r"\1***", shown)
    return shown.encode(errors="backslashreplace").decode()
