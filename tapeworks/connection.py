"""The history that a command works with."""

from __future__ import annotations

import click

from storage.database import Observer, unobserved
from storage.history import History
from tapeworks.settings import settings


def connected_history(observer: Observer = unobserved) -> History:
    """The history at the database in force; its connections are closed when the command ends."""
    history = History.open(settings().database_url, observer)
    click.get_current_context().call_on_close(history.database.close)
    return history
