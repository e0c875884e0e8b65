"""Fills a database with made-up runs, many rows at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

from sqlalchemy import Connection, insert, text

from benchmarks.history.made_up import NETWORKS, MadeUp, made_up_run
from tapeworks.storage import tables
from tapeworks.storage.connection.database import Database

#: Runs that are committed together.
TOGETHER = 100

#: Has PostgreSQL number the next run by itself, behind those that were added with their numbers.
_NEXT_NUMBER = """SELECT setval(pg_get_serial_sequence('stored_runs', 'number'), max(number))
FROM stored_runs"""

#: Told after each commit: how many runs are there.
Progress = Callable[[int], None]


def untold(_: int) -> None:
    """Nobody waits."""


def fill(database: Database, runs: int, iterations: int, progress: Progress = untold) -> None:
    """Add so many runs of so many iterations each to an empty history."""
    database.upgrade()
    with database.write() as connection:
        connection.execute(insert(tables.networks), NETWORKS)
    for first in range(1, runs + 1, TOGETHER):
        last = min(first + TOGETHER, runs + 1)
        made_up = [made_up_run(number, iterations) for number in range(first, last)]
        with database.write() as connection:
            for field in fields(MadeUp):
                rows = [row for run in made_up for row in getattr(run, field.name)]
                connection.execute(insert(getattr(tables, field.name)), rows)
        progress(last - 1)
    if not database.is_sqlite:
        with database.write() as connection:
            connection.execute(text(_NEXT_NUMBER))
        with database.apart() as connection:
            _vacuum(connection)


def _vacuum(connection: Connection) -> None:
    """Do what PostgreSQL's autovacuum would do in a while: know what is where."""
    connection.execution_options(isolation_level="AUTOCOMMIT")
    connection.execute(text("SET statement_timeout = 0"))
    connection.execute(text("VACUUM ANALYZE"))
