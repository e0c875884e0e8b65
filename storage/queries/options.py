"""Options of users' networks in a search for runs: `option.NAME` beside the view's columns.

Two networks may have options of one name and of different kinds, so no view has them as columns.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

#: An option, or what may hold the same letters without being one: texts, quoted names, comments.
_SQL = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|\boption\.(?P<option>[^\W\d]\w*)""",
    re.IGNORECASE | re.DOTALL,
)

_NAME = re.compile(r"option\.([^\W\d]\w*)", re.IGNORECASE)

#: Each option that a run has, with the kind of its value in the database's words. Only users'
#: networks have options.
KINDS = {
    "sqlite": "SELECT DISTINCT o.key, o.type FROM runs JOIN json_each(runs.options) AS o"
    " WHERE runs.network_digest IS NOT NULL",
    "postgresql": "SELECT DISTINCT o.key, json_typeof(o.value) FROM runs"
    " CROSS JOIN LATERAL json_each(runs.options::json) AS o WHERE runs.network_digest IS NOT NULL",
}


class Kind(StrEnum):
    """The kinds of an option's values, over all runs that have it."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    TEXT = "text"  #: or values of several kinds, each as text


_KINDS = {
    **dict.fromkeys(("integer", "real", "number"), Kind.NUMBER),
    **dict.fromkeys(("true", "false", "boolean"), Kind.BOOLEAN),
}

#: An option's value in a row of the view `runs`; NULL of a run that does not have it.
_VALUES = {
    "sqlite": dict.fromkeys((Kind.NUMBER, Kind.BOOLEAN), "json_extract(runs.options, '$.{name}')"),
    "postgresql": {
        Kind.NUMBER: "CAST(runs.options::json ->> '{name}' AS numeric)",
        Kind.BOOLEAN: "CAST(runs.options::json ->> '{name}' AS boolean)",
    },
}
_TEXT = "(SELECT o.value FROM options AS o WHERE o.run_id = runs.id AND o.name = '{name}')"


def option_of(name: str) -> str | None:
    """The option that a column's name means; None of any other column."""
    found = _NAME.fullmatch(name)
    return found and found[1]


def has_options(where: str) -> bool:
    """Check that a condition is about options."""
    return any(found["option"] for found in _SQL.finditer(where))


def kinds_of(found: Iterable[tuple[Any, ...]]) -> dict[str, Kind]:
    """The kind of each option, from rows of `KINDS`. NULLs are of any kind."""
    kinds = defaultdict[str, set[Kind]](set)
    for name, kind in found:
        if kind != "null":
            kinds[name].add(_KINDS.get(kind, Kind.TEXT))
    return {name: of_it.pop() if len(of_it) == 1 else Kind.TEXT for name, of_it in kinds.items()}


def make_whole(cell: Any) -> Any:
    """A number without a fraction as a whole one, as PostgreSQL gives it."""
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options that runs have, each with its kind, and their values as SQL."""

    dialect: str
    kinds: Mapping[str, Kind] = field(default_factory=dict)

    def value(self, name: str) -> str:
        """An option's value in SQL: of one that no run has, text that is NULL."""
        if name not in self.kinds:
            return "CAST(NULL AS text)"
        return _VALUES[self.dialect].get(self.kinds[name], _TEXT).format(name=name)

    def replace(self, where: str) -> str:
        """The condition with SQL that the database knows for every `option.NAME`."""

        def value(found: re.Match[str]) -> str:
            name = found["option"]
            if name is None:
                return found[0]
            # Of an option that no run has, a NULL without a kind, which compares with anything.
            return f"({self.value(name)})" if name in self.kinds else "NULL"

        return _SQL.sub(value, where)
