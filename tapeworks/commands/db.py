"""`tapeworks db`: the database's schema."""

from __future__ import annotations

import click

from storage.database import Database
from storage.migrations import REVISION
from tapeworks.errors import ExitCode
from tapeworks.output import put
from tapeworks.settings import settings


@click.group("db")
def command() -> None:
    """The database's schema."""


@command.command("upgrade")
def upgrade() -> int:
    """Bring the database to this Tapeworks's revision; what it holds is kept."""
    database = Database(settings().database_url)
    database.upgrade()
    put(f"{database.address} is at revision {REVISION}")
    return ExitCode.DONE


@command.command("check")
def check() -> int:
    """Say whether the database is at this Tapeworks's revision."""
    database = Database(settings().database_url)
    database.check_schema()
    put(f"{database.address} is at revision {REVISION}")
    return ExitCode.DONE
