"""Errors of the history, each with one sentence for people.

Their names say what is the matter; the base class says that it is an error.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

from tapeworks.storage.records import RunRecord, iteration_count

#: Characters of a text that an error shows: more than a name may have, so that one sees its end.
LONGEST_SHOWN = 160


class StorageError(Exception):
    """Base of everything that `storage` raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pass from process to process as it is: a pool would call the class with its sentence."""
        return _restore, (type(self), self.args)


def _restore(kind: type[StorageError], arguments: tuple[Any, ...]) -> StorageError:
    return kind.__new__(kind, *arguments)


class StorageUnreachable(StorageError):
    """The database cannot be opened, connected to, locked in time or written to."""


class DatabaseMissing(StorageUnreachable):
    """There is no database at an SQLite file's path; none is made by who only reads."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"There is no database at {address}. Name another, put its file back, or make a new "
            "one there: tapeworks submit and train do, and tapeworks db upgrade"
        )


class DatabaseLocked(StorageUnreachable):
    """The SQLite file was locked by another process for as long as a transaction waits."""


class StorageRefused(StorageUnreachable):
    """The database or its address is set up wrongly; waiting does not help, a person must act."""


class DatabaseReadOnly(StorageUnreachable):
    """The database takes nothing, as a standby of PostgreSQL until it becomes the primary."""


class FileReadOnly(StorageRefused, DatabaseReadOnly):
    """The file of SQLite may only be read."""


class RightMissing(StorageError):
    """PostgreSQL refuses this user something that others may do."""


class SchemaMismatch(StorageError):
    """The tables are those of another version of Tapeworks."""

    def __init__(self, address: str, found: str | None, needed: str) -> None:
        stands = "has no revision" if found is None else f"is at revision {found}"
        remedy = "Run: tapeworks db upgrade"
        if found is not None and found > needed:
            remedy = "A newer Tapeworks wrote it: install that one here"
        super().__init__(
            f"The database {address} {stands}, this Tapeworks needs {needed}. {remedy}"
        )


class TablesMissing(SchemaMismatch):
    """A PostgreSQL database has no tables at all: it is new, or another one was meant."""

    def __init__(self, address: str) -> None:
        StorageError.__init__(
            self,
            f"The database {address} has no tables of Tapeworks. If it is the right one, make them "
            "with: tapeworks db upgrade. Else name the right one",
        )


class ForeignTables(SchemaMismatch):
    """The tables are those of another program; nothing of ours is put beside them."""

    def __init__(self, address: str, found: Sequence[str], most: int = 5) -> None:
        rest = f" and {len(found) - most} more" if len(found) > most else ""
        StorageError.__init__(
            self,
            f"The database {address} holds tables of another program: "
            f"{', '.join(found[:most])}{rest}. Name a database of its own for Tapeworks, or on "
            "PostgreSQL a schema of its own with ?options=-csearch_path%3DSCHEMA in the URL",
        )


class TablesChanged(StorageError):
    """A table or column is missing that this version's revision has: waiting cannot heal that."""

    def __init__(self, address: str, words: str) -> None:
        super().__init__(
            f"The tables of the database {address} are not those of this Tapeworks: {words}. "
            "Run: tapeworks db upgrade. If that finds nothing to do, they were changed by hand or "
            "by a version in development: restore a backup, or name a new database"
        )


class ForkedInUse(StorageError):
    """The process was forked while another thread used the SQLite file."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"This process was forked while the database {address} was in use, and SQLite would "
            "damage what both processes share. Start processes while no other thread uses it, or "
            "with multiprocessing's method spawn."
        )


class NotCopied(StorageError, TypeError):
    """Connections cannot be pickled or copied."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"A {kind} holds connections and cannot be pickled or copied. "
            "Pass a run's id, and call tapeworks.connect() in the other process."
        )


class ValueNotPlain(StorageError, ValueError):
    """A value that a database would store as something else."""

    def __init__(self, kind: str, value: Any) -> None:
        super().__init__(
            "Expected a number of 64 bits, text without NUL, bytes or a time for the database. "
            f"Received: {reprlib.repr(value)} ({kind})"
        )


#: Runs of a grid that a sentence names.
MOST_NAMED = 3


class NotFound(StorageError):
    """Base of the errors about something that the history does not hold."""


class RunNotFound(NotFound):
    """No run has this id, this name or an id that starts like this; a grid may have the name."""

    def __init__(self, reference: str, grid: Sequence[str] = ()) -> None:
        advice = " List the runs with: tapeworks runs"
        if grid:
            more = f" and {len(grid) - MOST_NAMED} more" if len(grid) > MOST_NAMED else ""
            named = ", ".join(grid[:MOST_NAMED]) + more
            advice = f" It is the name of a grid; expected one run, such as those of it: {named}"
        super().__init__(f"There is no run {reference!r}.{advice}")


class IterationNotFound(NotFound):
    """The run has not committed this iteration."""

    def __init__(self, run: RunRecord, iteration: int) -> None:
        super().__init__(f"Run {run.id} has no iteration {iteration}{_why_none(run, iteration)}.")


def _why_none(run: RunRecord, iteration: int) -> str:
    if iteration < run.first_iteration:
        return f"; its own begin with iteration {run.first_iteration}"
    if run.status.is_finished or iteration >= run.iterations:
        return f"; it is {run.status} after {run.completed_iterations} of {run.iterations}"
    return f" yet; it is {run.status} after {iteration_count(run.completed_iterations)}"


class ImageNotFound(NotFound):
    """The run's data has no image of this number."""

    def __init__(self, run_id: str, images: int, number: int) -> None:
        super().__init__(f"Run {run_id} has images 0 to {images - 1}; none is {number}.")


class IterationNotRecorded(NotFound):
    """The iteration is committed, but without its images' values and its answers' times."""

    def __init__(self, run_id: str, iteration: int, recorded: Sequence[int]) -> None:
        before = [one for one in recorded if one < iteration][-1:]
        after = [one for one in recorded if one > iteration][:1]
        near = " and ".join(map(str, before + after)) or "none"
        super().__init__(
            f"Run {run_id} stored sums alone of iteration {iteration}: no values of single images, "
            f"no times of answers. The nearest iterations that it recorded in full: {near}. For a "
            f"run that records more: tapeworks retry {run_id} --set record_images_every=N"
        )


class CheckpointNotFound(NotFound):
    """The parameters after so many iterations do not exist yet or were not kept."""

    def __init__(self, run_id: str, kept: Sequence[int], wanted: int) -> None:
        listed = ", ".join(map(str, kept)) or "none"
        super().__init__(
            f"Run {run_id} keeps no parameters after {iteration_count(wanted)}. "
            f"Those it keeps are after: {listed}"
        )


class CheckpointDamaged(StorageError):
    """The stored bytes of a checkpoint do not have the digest that was stored with them."""

    def __init__(self, run_id: str, completed: int, part: str, kept: Sequence[int]) -> None:
        others = ", ".join(str(one) for one in kept if one != completed) or "none"
        super().__init__(
            f"The {part} of run {run_id} after {iteration_count(completed)} are damaged: their "
            "bytes do not have the digest that was stored with them. Restore the database from a "
            f"backup, or start a new run from another checkpoint: tapeworks retry {run_id} "
            f"--after N. The other checkpoints are after: {others}"
        )


class NetworkNotFound(NotFound):
    """The source text of a user's network is not stored."""

    def __init__(self, digest: str) -> None:
        super().__init__(
            f"The source of the network {digest} is not stored: no run of this database is of it. "
            "Submit a run of it again, with --network and its file"
        )


class NetworkDamaged(StorageError):
    """The stored source text of a network does not have its digest."""

    def __init__(self, digest: str) -> None:
        super().__init__(
            f"The stored source of the network {digest} is damaged: its bytes have another digest. "
            "Restore the database from a backup"
        )


class NetworkNotText(StorageError, ValueError):
    """The source of a network is not Unicode text."""

    def __init__(self) -> None:
        super().__init__("Expected the source of a network as Unicode text. Received other bytes")


class AmbiguousRun(StorageError):
    """Several ids start with the given reference."""

    def __init__(self, reference: str, candidates: Sequence[str]) -> None:
        super().__init__(
            f"Expected the start of one run's id. Received: {reference!r}, "
            f"which several share: {', '.join(candidates)}"
        )


class InvalidName(StorageError, ValueError):
    """A run was submitted under a name that cannot be one."""

    def __init__(self, name: object) -> None:
        super().__init__(
            "Expected a name of 1 to 80 letters, digits, spaces, dots, colons, dashes or "
            f"underscores, with no space at its ends. Received: name={_shorten(name)}"
        )


class InvalidTag(StorageError, ValueError):
    """A run was submitted with a tag that cannot be one."""

    def __init__(self, key: object, value: object) -> None:
        super().__init__(
            "Expected tags key=value, the key of 1 to 40 letters, digits, dots, dashes or "
            "underscores, the value of 1 to 200 characters on one line. "
            f"Received: {_shorten(key)}={_shorten(value)}"
        )


class InvalidLine(StorageError, ValueError):
    """A note or a reason that cannot be one."""

    def __init__(self, kind: str, text: object) -> None:
        super().__init__(
            f"Expected a {kind} of 1 to 1000 characters on one line. "
            f"Received: {kind}={_shorten(text)}"
        )


class InvalidPriority(StorageError, ValueError):
    """A priority that no run can have."""

    def __init__(self, priority: object, least: int, most: int) -> None:
        super().__init__(
            f"Expected a priority from {least} to {most}. Received: priority={_shorten(priority)}"
        )


def _shorten(value: object) -> str:
    """A value as Python writes it, long text cut, anything else in brief."""
    if isinstance(value, str):
        return repr(value) if len(value) <= LONGEST_SHOWN else f"{value[:LONGEST_SHOWN]!r}…"
    return reprlib.repr(value)


class SubmissionKeyReused(StorageError, ValueError):
    """Another request was made with the same key."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"Expected another Idempotency-Key for another request. Received: {_shorten(key)}, "
            "with which something else was submitted"
        )


class StateConflict(StorageError):
    """The request does not fit what the history holds; nothing was written."""


class LedgerMismatch(StateConflict):
    """A ledger does not count every image of its iteration exactly once; nothing was written."""


class LeaseLost(StorageError):
    """The writer's claim on the run is over; it must stop, another may be driving."""


class HistoryRolledBack(StateConflict):
    """The database has forgotten what it had confirmed to the owner, as after a failover.

    The claim holds, but the run must be taken again and go on from what the database says.
    """


class QueryError(StorageError):
    """A person's SQL cannot be answered; nothing was changed."""


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


class QueryTooLarge(QueryError):
    """The query's answer, or what it takes to find it, is larger than it may be."""

    def __init__(self, how: str) -> None:
        super().__init__(f"The query was stopped: {how}.")


class UnknownColumn(QueryError):
    """A column was named that is not there."""

    def __init__(self, name: str, nearest: str | None, view: str, *, text: str | None) -> None:
        hint = f" Did you mean {nearest}?" if nearest else ""
        hint += f" Text goes between single quotation marks: '{text}'." if text else ""
        columns = f'tapeworks query "SELECT * FROM {view} LIMIT 0"'  # noqa: S608 - to be read, not run
        super().__init__(f"There is no column {name!r}.{hint} List the columns with: {columns}")


class UnknownTable(QueryError):
    """A view or table was named that is not there."""

    def __init__(self, name: str, nearest: str | None, views: Sequence[str]) -> None:
        near = f" Did you mean {nearest}?" if nearest else ""
        super().__init__(f"There is no view {name!r}.{near} The views are: {', '.join(views)}")
