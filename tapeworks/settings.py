"""Where Redis and the database are: from the environment, read once per command."""

from __future__ import annotations

import os
from dataclasses import dataclass

from platformdirs import user_data_path

from workers.addresses import DEFAULT_URL
from workers.signing import Signer, signer

#: Names of the environment variables.
REDIS_URL = "TAPEWORKS_REDIS_URL"
DATABASE_URL = "TAPEWORKS_DATABASE_URL"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Addresses that a command works with."""

    database_url: str  #: SQLAlchemy URL, or the path of an SQLite file
    named_redis_url: str | None  #: the Redis that the user named, if any

    @property
    def redis_url(self) -> str:
        """The named Redis, else the usual place on this machine."""
        return self.named_redis_url or DEFAULT_URL

    def signer(self) -> Signer:
        """With the signing key, if one is configured. Raises `SigningKeyUnusable`."""
        return signer()


def settings() -> Settings:
    """The settings in force; an empty variable counts as not set."""
    database = os.environ.get(DATABASE_URL) or str(user_data_path("tapeworks") / "tapeworks.db")
    return Settings(database_url=database, named_redis_url=os.environ.get(REDIS_URL) or None)
