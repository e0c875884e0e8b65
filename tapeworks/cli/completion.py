"""Completion of runs, tags, columns and settings in a shell.

Nothing is said or made while a person types: where there is no database, nothing is completed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from tapeworks.errors import EXPECTED

if TYPE_CHECKING:
    from tapeworks.storage.connection.database import Database

#: Runs that are looked at, the newest.
MOST_RUNS = 200

_Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _completes(find: Callable[[], Iterable[tuple[str, str]]]) -> _Complete:
    """Complete words, each with what it means."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [
            CompletionItem(word, help=meaning)
            for word, meaning in dict(find()).items()
            if word.startswith(incomplete)
        ]

    return complete


def _ask(read: Callable[[Database], Iterable[tuple[str, str]]]) -> list[tuple[str, str]]:
    from tapeworks.places import find_places
    from tapeworks.storage.connection.database import Database

    try:
        database = Database(find_places().database_url, read_only=True)
        try:
            return list(read(database))
        finally:
            database.close()
    except EXPECTED:  # a sentence would stand in the middle of what is typed
        return []


def _runs() -> list[tuple[str, str]]:
    """The names of the newest runs, then their ids."""

    def read(database: Database) -> Iterable[tuple[str, str]]:
        from tapeworks.storage.queries.search import find_runs

        found = find_runs(database, columns=["id", "name", "status"], limit=MOST_RUNS).rows
        yield from ((str(name), str(status)) for _, name, status in reversed(found) if name)
        yield from ((str(run), f"{name or ''} {status}".strip()) for run, name, status in found)

    return _ask(read)


def _tags() -> list[tuple[str, str]]:
    def read(database: Database) -> Iterable[tuple[str, str]]:
        from tapeworks.storage.queries.search import query

        found = query(database, "SELECT key, value, count(*) FROM tags GROUP BY key, value").rows
        return [(f"{key}={value}", f"of {count} runs") for key, value, count in found]

    return _ask(read)


def _columns() -> list[tuple[str, str]]:
    from tapeworks.storage.queries.views import COLUMNS

    return [(name, "") for name in COLUMNS["runs"]]


def _settings() -> list[tuple[str, str]]:
    from tapeworks.cli.options import FIELDS
    from tapeworks.model.config import RunConfig

    return [(f"{name}=", RunConfig.model_fields[name].description or "") for name in FIELDS]


def _setting_names() -> list[tuple[str, str]]:
    return [(name.removesuffix("="), meaning) for name, meaning in _settings()]


complete_run = _completes(_runs)
complete_tag = _completes(_tags)
complete_column = _completes(_columns)
complete_setting = _completes(_settings)
complete_setting_name = _completes(_setting_names)


def complete_columns(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the last of several columns."""
    before, comma, last = incomplete.rpartition(",")
    found = complete_column(context, parameter, last)
    return [CompletionItem(f"{before}{comma}{item.value}") for item in found]
