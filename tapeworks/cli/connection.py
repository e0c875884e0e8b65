"""The history that a command works with."""

from __future__ import annotations

import click

from tapeworks.places import find_places
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History


def open_history(*, checked: bool = True) -> History:
    """The history at the database in force; its connections are closed when the command ends.

    Unchecked, nothing is connected yet: the caller checks the schema.
    """
    history = History(Database(find_places().database_url))
    click.get_current_context().call_on_close(history.database.close)
    if checked:
        history.database.check_schema()
    return history
