"""`tapeworks db`: the database's schema."""

from __future__ import annotations

import typer

from storage.database import Database
from storage.migrations import REVISION
from tapeworks.errors import ExitCode
from tapeworks.output import put
from tapeworks.settings import settings


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="The database's schema.", no_args_is_help=True)
    group.command()(upgrade)
    group.command()(check)
    app.add_typer(group, name="db")


def upgrade() -> int:
    """Bring the database to this Tapeworks's revision; what it holds is kept."""
    database = Database(settings().database_url)
    database.upgrade()
    put(f"{database.address} is at revision {REVISION}")
    return ExitCode.DONE


def check() -> int:
    """Say whether the database is at this Tapeworks's revision."""
    database = Database(settings().database_url)
    database.check_schema()
    put(f"{database.address} is at revision {REVISION}")
    return ExitCode.DONE
