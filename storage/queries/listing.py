"""A query's answer: columns' names and rows of plain values, the same from both databases."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

#: What a cell holds. Times are text in UTC, `2026-11-23 12:02:38.839000`; truth is 1 or 0; JSON is
#: text; bytes are hexadecimal digits.
Value = str | int | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A query's answer, as of the moment when it was asked."""

    #: The columns' names, in order. Two may be the same.
    columns: tuple[str, ...]
    #: A tuple for each row, with a value for each column.
    rows: tuple[tuple[Value, ...], ...]

    def column(self, name: str) -> list[Value]:
        """The values of the first column of this name."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def select(self, names: Sequence[str]) -> Listing:
        """The same rows with these columns, in this order."""
        places = [self.columns.index(name) for name in names]
        rows = tuple(tuple(row[place] for place in places) for row in self.rows)
        return Listing(columns=tuple(names), rows=rows)

    def convert(self, readers: Mapping[str, Callable[[Any], Any]]) -> Listing:
        """The same with the values of the columns of these names read so."""
        reading = [readers.get(name, _as_it_is) for name in self.columns]
        return Listing(
            columns=self.columns,
            rows=tuple(
                tuple(read(cell) for read, cell in zip(reading, row, strict=True))
                for row in self.rows
            ),
        )


def _as_it_is(cell: Any) -> Any:
    return cell


def plain(cell: Any) -> Value:
    """A driver's value without its type, so that both databases say the same."""
    if isinstance(cell, bool):
        return int(cell)
    if cell is None or isinstance(cell, str | int | float):
        return cell
    if isinstance(cell, Decimal):  # what PostgreSQL makes of sums and means of whole numbers
        return int(cell) if cell.is_finite() and cell == int(cell) else float(cell)
    if isinstance(cell, datetime):
        moment = cell if cell.tzinfo is None else cell.astimezone(UTC)
        return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
    if isinstance(cell, bytes | memoryview):
        return bytes(cell).hex()
    if isinstance(cell, dict | list):
        return json.dumps(cell, separators=(",", ":"), default=plain)
    return str(cell)
