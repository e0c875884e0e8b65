"""The addresses of Redis and the database, read from the environment once per command."""

from __future__ import annotations

import os
from functools import cached_property

from platformdirs import user_data_path

from tapeworks.model.settings import Settings
from tapeworks.storage.errors import StorageUnreachable
from tapeworks.wire.addresses import DEFAULT_URL, REDIS, Address
from tapeworks.wire.signing import Signer, signer

#: How the environment names a database.
DATABASE = Address(
    url=Settings.database_url,
    file=Settings.database_password_file,
    example="postgresql://user@host/database",
)


class Places:
    """Addresses that a command works with; a password's file is read when its address is needed.

    Either may raise `PasswordUnusable` of the wire's room, and `VariableUnreadable` of model's.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def database_url(self) -> str:
        """SQLAlchemy URL, or the path of an SQLite file. Raises `StorageUnreachable`."""
        return DATABASE.read(self._settings) or _usual_database()

    @property
    def is_usual_database(self) -> bool:
        """True where none is named."""
        return DATABASE.read(self._settings) is None

    @cached_property
    def named_redis_url(self) -> str | None:
        """The Redis that the user named, if any."""
        return REDIS.read(self._settings)

    @property
    def redis_url(self) -> str:
        """The named Redis, else the usual place on this machine."""
        return self.named_redis_url or DEFAULT_URL

    def signer(self) -> Signer:
        """With the signing key, if one is configured. Raises `SigningKeyUnusable`."""
        return signer(self._settings)


def _usual_database() -> str:
    """The SQLite file in the user's home, which a container's user may not have."""
    try:
        return str(user_data_path("tapeworks") / "tapeworks.db")
    except RuntimeError as error:
        raise StorageUnreachable(
            "There is no home directory for the database. "
            f"Name a file or a URL with {DATABASE.url_variable}, or set HOME."
        ) from error


def find_places() -> Places:
    """Return the places that the environment names now."""
    return Places(Settings(dict(os.environ)))
