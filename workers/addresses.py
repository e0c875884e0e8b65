"""Redis URLs and how they are shown; read also by commands that need no Redis client."""

from __future__ import annotations

from urllib.parse import urlsplit

#: Where Redis is looked for when nothing is named.
DEFAULT_URL = "redis://127.0.0.1:6379/0"


def without_password(url: str) -> str:
    """The URL, fit to be shown."""
    try:
        password = urlsplit(url).password
    except ValueError:
        return "what is no URL"  # where it hides a password nobody can tell
    return url.replace(f":{password}@", ":***@") if password else url
