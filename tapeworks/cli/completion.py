"""Completion of runs, tags, columns and settings in a shell.

Nothing is said or made while a person types: where there is no database, nothing is completed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from tapeworks.errors import EXPECTED

if TYPE_CHECKING:
    from tapeworks.storage.connection.database import Database

#: Runs that are looked at, the newest.
MOST_RUNS = 200

#: Settings that are paths, or may be, and what a shell looks for.
_PATHS = {"data_dir": "dir", "dataset": "file", "network": "file"}

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
        found = _newest(database)
        yield from ((name, status) for _, name, status in reversed(found) if name)
        yield from ((run, f"{name} {status}".strip()) for run, name, status in found)

    return _ask(read)


def _grids() -> list[tuple[str, str]]:
    """The names of the newest grids: two runs or more of one submission, NAME-1, NAME-2, …"""

    def read(database: Database) -> Iterable[tuple[str, str]]:
        parts = [(run, *name.rpartition("-")) for run, name, _ in _newest(database)]
        numbered = [
            (name, run.rpartition("-")[0])  # those of one submission share it
            for run, name, _, number in parts
            if name and number.isdecimal()
        ]
        for (name, _), count in reversed(Counter(numbered).items()):
            if count > 1:
                yield name, f"{count} runs"

    return _ask(read)


def _newest(database: Database) -> list[tuple[str, str, str]]:
    """Ids, names and statuses, the newest first."""
    from tapeworks.storage.queries.search import find_runs

    found = find_runs(database, columns=["id", "name", "status"], limit=MOST_RUNS).rows
    return [(str(run), str(name or ""), str(status)) for run, name, status in found]


def _runs_and_grids() -> list[tuple[str, str]]:
    return [*_grids(), *_runs()]


def _tags() -> list[tuple[str, str]]:
    def read(database: Database) -> Iterable[tuple[str, str]]:
        from tapeworks.storage.queries.search import query

        found = query(database, "SELECT key, value, count(*) FROM tags GROUP BY key, value").rows
        return [(f"{key}={value}", f"of {count} runs") for key, value, count in found]

    return _ask(read)


def _tag_keys() -> list[tuple[str, str]]:
    return [(tag.partition("=")[0], "") for tag, _ in _tags()]


def _columns() -> list[tuple[str, str]]:
    from tapeworks.storage.queries.views import COLUMNS

    return [(name, "") for name in COLUMNS["runs"]]


def _settings() -> list[tuple[str, str]]:
    from tapeworks.cli.options import FIELDS
    from tapeworks.model.config import RunConfig

    return [(f"{name}=", RunConfig.model_fields[name].description or "") for name in FIELDS]


def _setting_names() -> list[tuple[str, str]]:
    return [(name.removesuffix("="), meaning) for name, meaning in _settings()]


def value_completion(setting: str) -> _Complete:
    """Complete a setting's values, or the path of a file or directory."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
        known = [value for value in _values(setting) if value.startswith(incomplete)]
        if known or setting not in _PATHS:
            return [CompletionItem(value) for value in known]
        return [CompletionItem(incomplete, type=_PATHS[setting])]

    return complete


def _values(setting: str) -> Sequence[str]:
    from tapeworks.model.config import list_values
    from tapeworks.model.datasets.loading import KNOWN

    return KNOWN if setting == "dataset" else list_values(setting)


complete_run = _completes(_runs)
complete_run_or_grid = _completes(_runs_and_grids)
complete_tag = _completes(_tags)
complete_tag_key = _completes(_tag_keys)
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
