"""`tapeworks db`: the database's schema, size and backup."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from tapeworks.connection import connected_history
from tapeworks.describe import as_json, size
from tapeworks.errors import ExitCode, UsageError
from tapeworks.files import check_writable, put_path, written_whole
from tapeworks.output import put, put_table, say
from tapeworks.paths import PathType
from tapeworks.storage.housekeeping import table_sizes
from tapeworks.storage.migrations import REVISION


@click.group("db")
def command() -> None:
    """The database's schema, size and backup."""


@command.command("upgrade", epilog="Example: tapeworks db upgrade")
def upgrade() -> int:
    """Bring the database to this Tapeworks's revision; what it holds is kept."""
    database = connected_history(checked=False).database
    database.upgrade()
    put(f"{database.address} is at revision {REVISION}")
    return ExitCode.DONE


@command.command("size", epilog="Example: tapeworks db size")
@click.option("--json", is_flag=True, help="print JSON")
def show_size(json: bool) -> int:
    """Show what the tables take, the largest first."""
    sizes = table_sizes(connected_history().database)
    if json:
        put(as_json([asdict(one) for one in sizes]))
        return ExitCode.DONE
    total = sum(one.bytes for one in sizes)
    rows = [(one.table, f"{one.rows:,}", size(one.bytes)) for one in sizes]
    put_table(("TABLE", "ROWS", "SIZE"), [*rows, ("all", "", size(total))])
    return ExitCode.DONE


@command.command("check", epilog="Example: tapeworks db check")
def check() -> int:
    """Say whether the database is at this Tapeworks's revision."""
    database = connected_history().database
    put(f"{database.address} is at revision {REVISION}")
    return ExitCode.DONE


@command.command("backup", epilog="Example: tapeworks db backup history-backup.db")
@click.argument("file", type=PathType())
def back_up(file: Path) -> int:
    """Write a copy of the SQLite database to FILE, while schedulers go on.

    The copy is of one moment. To restore it, stop the schedulers and put it in the database's
    place; runs go on from the iterations that it has.
    """
    check_writable(file)
    database = connected_history().database
    if not database.is_sqlite:
        raise UsageError(
            f"Expected an SQLite database. Received: {database.address}. Back it up with "
            "PostgreSQL's own pg_dump."
        )
    with written_whole(file) as complete:
        database.copy_to(complete)
    say(f"Backed up {database.address}")
    put_path(file)
    return ExitCode.DONE
