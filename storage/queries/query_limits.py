"""The limits of a person's query, and the query itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tapeworks.storage.errors import QueryTooLarge
from tapeworks.storage.queries.listing import Listing, Value

#: Seconds that a query may take, unless told otherwise.
DEFAULT_SECONDS = 30.0

#: What it may be told: from about an instruction to a day.
SHORTEST_SECONDS, LONGEST_SECONDS = 0.001, 86_400.0

#: Rows of an answer, and its bytes, counted as text: what a process holds of it is a few times
#: as much.
MOST_ROWS = 1_000_000
MOST_BYTES = 128 * 2**20

#: On SQLite, bytes of one value, that the query's process may map, and of each temporary file that
#: it sorts in.
LONGEST_VALUE = 64 * 2**20
MOST_MEMORY = 2**30
MOST_TEMPORARY = 2**30

#: What is counted for a number, in bytes.
BYTES_OF_A_NUMBER = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """SQL in a database's dialect, its parameters, and how long it may take."""

    sql: str
    #: By place on SQLite, by name on PostgreSQL; None where a % in the SQL is a %.
    parameters: Sequence[object] | Mapping[str, object] | None = None
    seconds: float
    #: How many rows are wanted, the first ones; None for all.
    limit: int | None = None

    @property
    def values(self) -> Iterable[object]:
        """Its parameters without their names."""
        given = self.parameters or ()
        return given.values() if isinstance(given, Mapping) else given


def collect_listing(columns: Iterable[str], rows: Iterable[tuple[Value, ...]]) -> Listing:
    """Collect an answer. Raises `QueryTooLarge` as soon as it is larger than may be."""
    kept, size = list[tuple[Value, ...]](), 0
    for row in rows:
        kept.append(row)
        size += size_of(row)
        if len(kept) > MOST_ROWS or size > MOST_BYTES:
            raise answer_too_large()
    return Listing(columns=tuple(columns), rows=tuple(kept))


def size_of(row: Iterable[Value]) -> int:
    """About how many bytes a row has."""
    return sum(len(cell) if isinstance(cell, str) else BYTES_OF_A_NUMBER for cell in row)


def answer_too_large() -> QueryTooLarge:
    """The error for an answer of too many rows or bytes."""
    return QueryTooLarge(
        f"its answer has more than {MOST_ROWS} rows or {MOST_BYTES // 2**20} MiB. Ask for less, or "
        "for a part at a time with LIMIT"
    )
