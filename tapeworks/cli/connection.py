"""The history that a command works with."""

from __future__ import annotations

import click

from tapeworks.cli.outputs.printing import say
from tapeworks.cli.own_places import find_own_places
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History


def open_history(*, checked: bool = True) -> History:
    """The history at the database in force; its connections are closed when the command ends.

    Unchecked, nothing is connected yet: the caller checks the schema. No database is made.
    """
    history = History(Database(find_own_places().database_url))
    click.get_current_context().call_on_close(history.database.close)
    if checked:
        history.database.check_schema()
    return history


def open_or_make_history() -> History:
    """The same for a command that stores runs: where there is no SQLite file, it makes one."""
    history = open_history(checked=False)
    if history.database.ensure_schema():
        say(describe_new(history.database))
    return history


def describe_new(database: Database) -> str:
    """Return the sentence by which people notice a mistyped name."""
    return f"Made a new database: {database.address}"
