"""The addresses of Redis and the database, read from the environment once per command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property

from platformdirs import user_data_path

from tapeworks.storage.errors import StorageUnreachable
from tapeworks.wire.addresses import DEFAULT_URL, REDIS, Address
from tapeworks.wire.signing import Signer, signer

#: How the environment names a database.
DATABASE = Address(
    url_variable="TAPEWORKS_DATABASE_URL",
    file_variable="TAPEWORKS_DATABASE_PASSWORD_FILE",
    example="postgresql://user@host/database",
)


class Settings:
    """Addresses that a command works with; a password's file is read when its address is needed.

    Either may raise `PasswordUnusable` of the workers' room, and `VariableUnreadable` of model's.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    @cached_property
    def database_url(self) -> str:
        """SQLAlchemy URL, or the path of an SQLite file. Raises `StorageUnreachable`."""
        return DATABASE.named(self._environment, None) or _usual_database()

    @cached_property
    def named_redis_url(self) -> str | None:
        """The Redis that the user named, if any."""
        return REDIS.named(self._environment, DEFAULT_URL)

    @property
    def redis_url(self) -> str:
        """The named Redis, else the usual place on this machine."""
        return self.named_redis_url or DEFAULT_URL

    def signer(self) -> Signer:
        """With the signing key, if one is configured. Raises `SigningKeyUnusable`."""
        return signer(self._environment)


def _usual_database() -> str:
    """The SQLite file in the user's home, which a container's user may not have."""
    try:
        return str(user_data_path("tapeworks") / "tapeworks.db")
    except RuntimeError as error:
        raise StorageUnreachable(
            "There is no home directory for the database. "
            f"Name a file or a URL with {DATABASE.url_variable}, or set HOME."
        ) from error


def settings() -> Settings:
    """The settings in force; an empty or blank variable counts as not set."""
    return Settings(dict(os.environ))
