"""What can go wrong with the history, each with one sentence for people.

Their names say what is the matter; the base class says that it is an error.
"""

from __future__ import annotations

from collections.abc import Sequence


class StorageError(Exception):
    """Base of everything that `storage` raises on purpose."""


class StorageUnreachable(StorageError):
    """The database cannot be opened, connected to, locked in time or written to."""


class SchemaMismatch(StorageError):
    """The tables are those of another version of Tapeworks."""

    def __init__(self, address: str, found: str | None, needed: str) -> None:
        stands = "has no revision" if found is None else f"is at revision {found}"
        super().__init__(
            f"The database {address} {stands}, this Tapeworks needs {needed}. "
            "Run: tapeworks db upgrade"
        )


class NotFound(StorageError):
    """Base of the errors about something that the history does not hold."""


class RunNotFound(NotFound):
    """No run has this id, this name or an id that starts like this."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"There is no run {reference!r}. List the runs with: tapeworks runs")


class IterationNotFound(NotFound):
    """The run has not committed this iteration."""

    def __init__(self, run_id: str, iteration: int) -> None:
        super().__init__(f"Run {run_id} has no iteration {iteration} yet.")


class CheckpointNotFound(NotFound):
    """The parameters after so many iterations do not exist yet or were not kept."""

    def __init__(self, run_id: str, kept: Sequence[int], wanted: int | None) -> None:
        listed = ", ".join(map(str, kept)) or "none"
        super().__init__(
            f"Run {run_id} keeps no parameters after {wanted} iterations. "
            f"Those it keeps are after: {listed}"
        )


class AmbiguousRun(StorageError):
    """Several ids start with the given reference."""

    def __init__(self, reference: str, candidates: Sequence[str]) -> None:
        super().__init__(
            f"Expected the start of one run's id. Received: {reference!r}, "
            f"which several share: {', '.join(candidates)}"
        )


class InvalidName(StorageError):
    """A run was submitted under a name that cannot be one."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "Expected a name of 1 to 80 letters, digits, spaces, dots, colons, dashes or "
            f"underscores. Received: name={name!r}"
        )


class InvalidTag(StorageError):
    """A run was submitted with a tag that cannot be one."""

    def __init__(self, key: str, value: str) -> None:
        super().__init__(
            "Expected tags key=value, the key of 1 to 40 letters, digits, dots, dashes or "
            "underscores, the value of 1 to 200 characters on one line. "
            f"Received: {key!r}={value!r}"
        )


class InvalidLine(StorageError):
    """A note or a reason that cannot be one."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(
            f"Expected a {kind} of 1 to 1000 characters on one line. Received: {kind}={text[:80]!r}"
        )


class StateConflict(StorageError):
    """What was asked does not fit what the history holds; nothing was written."""


class LedgerMismatch(StateConflict):
    """A ledger does not count every image of its iteration exactly once; nothing was written."""


class LeaseLost(StorageError):
    """The writer's claim on the run is over; it must stop, another may be driving."""


class QueryError(StorageError):
    """What a person asked in SQL cannot be answered; nothing was changed."""


class NotReadOnly(QueryError):
    """The SQL would do something else than read; the database refused it."""

    def __init__(self, words: str) -> None:
        super().__init__(
            "Expected one SELECT, or WITH … SELECT: queries are read-only. "
            f"The database says: {words}"
        )


class QueryTimeout(QueryError):
    """The query took longer than it may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The query was stopped after {seconds:g} seconds. Ask for less, or allow more with "
            "tapeworks query --seconds"
        )


class UnknownColumn(QueryError):
    """A column was named that is not there."""

    def __init__(self, name: str, nearest: str | None, view: str, *, quoted: bool) -> None:
        hint = f" Did you mean {nearest}?" if nearest else ""
        hint += " Text goes between single quotes." if quoted else ""
        columns = f'tapeworks query "SELECT * FROM {view} LIMIT 0"'  # noqa: S608 - to be read, not run
        super().__init__(f"There is no column {name!r}.{hint} List the columns with: {columns}")


class UnknownTable(QueryError):
    """A view or table was named that is not there."""

    def __init__(self, name: str, nearest: str | None, views: Sequence[str]) -> None:
        near = f" Did you mean {nearest}?" if nearest else ""
        super().__init__(f"There is no view {name!r}.{near} The views are: {', '.join(views)}")
