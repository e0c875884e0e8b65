"""The two kinds of database, empty and on disk for the time of the benchmark."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tapeworks.storage.connection.database import Database
from tests.support.postgres import VARIABLE, new_database, running_postgres

NAMES = ("sqlite", "postgresql")


@contextmanager
def empty_database(engine: str) -> Iterator[Database]:
    """A database that `empty_address` makes, with connections that are closed in the end."""
    with empty_address(engine) as address:
        database = Database(address)
        try:
            yield database
        finally:
            database.close()


@contextmanager
def empty_address(engine: str) -> Iterator[str]:
    """An SQLite file, or a database on the named PostgreSQL server or on one of our own."""
    with _sqlite() if engine == "sqlite" else _postgresql() as address:
        yield address


@contextmanager
def _sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="tapeworks-history-") as place:
        yield str(Path(place) / "history.db")


@contextmanager
def _postgresql() -> Iterator[str]:
    if url := os.environ.get(VARIABLE):
        with new_database(url, "tapeworks-history") as address:
            yield address
    else:
        with running_postgres() as server:
            yield server.url()
