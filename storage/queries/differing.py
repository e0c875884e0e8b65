"""Of the settings of listed runs, those in which these runs differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tapeworks.storage.queries.listing import Listing, Value
from tapeworks.storage.queries.options import option_of
from tapeworks.storage.queries.views import SETTINGS

#: The settings that runs differ in most often, which stand first; `options` are all of a network.
TELLING = ("learning_rate", "seed", "options", "optimizer", "images_per_iteration", "images")

#: The column that holds the options of a run's network as JSON.
_OPTIONS = "options"


def is_setting(name: str) -> bool:
    """Check that a column of the view `runs` is a setting, or an option of a network."""
    return name in SETTINGS or option_of(name) is not None


def keep_differing(found: Listing) -> Listing:
    """Return the same rows of runs; of the settings among their columns, those that differ.

    Each option of a network is a column of its own, `option.NAME`. The settings stand where the
    first of them was, the most telling first.
    """
    spread = _spread_options(found)
    settings = [name for name in spread.columns if is_setting(name)]
    others = [name for name in spread.columns if not is_setting(name)]
    place = next((at for at, name in enumerate(spread.columns) if is_setting(name)), 0)
    differing = [name for name in settings if not _is_shared(spread, name)]
    return spread.select([*others[:place], *sorted(differing, key=rank_setting), *others[place:]])


def rank_setting(name: str) -> int:
    """Return the place of a setting among those in which runs differ."""
    known = _OPTIONS if option_of(name) is not None else name
    return TELLING.index(known) if known in TELLING else len(TELLING)


def choose_spare(settings: dict[str, list[Any]]) -> str:
    """Return the last setting without which as many runs are told apart, else the last of all.

    Given are the runs' values of each, the most telling setting first.
    """
    apart = _count_apart(list(settings.values()))
    for name in reversed(settings):
        others = [column for other, column in settings.items() if other != name]
        if _count_apart(others) == apart:
            return name
    return list(settings)[-1]


def _count_apart(columns: Sequence[Sequence[Any]]) -> int:
    return len(set(zip(*columns, strict=True)))


def _is_shared(found: Listing, name: str) -> bool:
    return len(set(found.column(name))) < 2


def _spread_options(found: Listing) -> Listing:
    if _OPTIONS not in found.columns:
        return found
    place = found.columns.index(_OPTIONS)
    options = [_read(row[place]) for row in found.rows]
    names = list(dict.fromkeys(name for one in options for name in one))

    def spread(row: Sequence[Value], own: dict[str, Value]) -> tuple[Value, ...]:
        return (*row[:place], *map(own.get, names), *row[place + 1 :])

    columns = (f"option.{name}" for name in names)
    return Listing(
        columns=(*found.columns[:place], *columns, *found.columns[place + 1 :]),
        rows=tuple(spread(*one) for one in zip(found.rows, options, strict=True)),
    )


def _read(options: Value) -> dict[str, Value]:
    """Options by name; a truth and what is no single value is text, as in the view `options`."""
    known = json.loads(options) if isinstance(options, str) else None
    plain = (str, int, float)
    return {
        name: value if type(value) in plain else json.dumps(value)
        for name, value in (known or {}).items()
    }
