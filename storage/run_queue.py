"""The queue of runs: what anybody, on any machine, may want of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypedDict, Unpack

from sqlalchemy import Connection, delete, insert, select, update

from tapeworks.storage import claims, references
from tapeworks.storage.actors import current_actor
from tapeworks.storage.checkpoints import digest_of
from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import StateConflict
from tapeworks.storage.lineage import expect_no_heirs
from tapeworks.storage.networks import source_digest, store_network
from tapeworks.storage.records import (
    CheckpointRecord,
    Request,
    RunRecord,
    RunStatus,
    iteration_count,
    resume_words,
)
from tapeworks.storage.rows import note, store
from tapeworks.storage.submissions import SubmissionKey, find_submission, register_submission
from tapeworks.storage.tables import deletions, runs
from tapeworks.storage.tables import tags as stored_tags


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run as it is submitted, with its initial parameters.

    Raises a `StorageError` for a name, tag, note or priority that is none.
    """

    #: What people call it.
    name: str | None
    #: Everything that decides the result.
    configuration: dict[str, Any]
    #: Iterations wanted.
    iterations: int
    #: safetensors.
    parameters: bytes
    #: SHA-256 of those bytes.
    parameters_digest: str
    #: Queued, or paused: then it waits for `resume`, or for a `claim` by its id.
    status: RunStatus = RunStatus.QUEUED
    #: Why it stands there, if there is more to say; the first claim clears it.
    reason: str | None = None
    #: Runs of a higher one are taken first.
    priority: int = 0
    #: What its submitter wants to remember.
    note: str | None = None
    #: Values by key, to find it by.
    tags: Mapping[str, str] = field(default_factory=dict)
    #: None makes one that sorts by time.
    run_id: str | None = None
    #: The run whose configuration this one has, or had before changes.
    parent_id: str | None = None
    #: After how many of the parent's iterations it begins, with its parameters then.
    parent_iterations: int | None = None
    #: What the parent's optimizer carried on then.
    optimizer_state: bytes | None = None
    #: The only images that it may be trained on, if that is decided; their digest.
    images_digest: str | None = None
    #: The only kind of workers that may compute it, if that is decided.
    fingerprint: str | None = None
    #: The Python text of the user's network that it trains; None: the built-in one.
    network_source: str | None = None

    def __post_init__(self) -> None:
        if self.status not in {RunStatus.QUEUED, RunStatus.PAUSED}:
            raise ValueError(f"Expected queued or paused. Received: status={self.status.value}")
        references.validate_name(self.name)
        references.validate_priority(self.priority)
        references.validate_line("note", self.note)
        references.validate_tags(self.tags)

    @property
    def network_digest(self) -> str | None:
        """SHA-256 of the source text. Raises `NetworkNotText`."""
        return None if self.network_source is None else source_digest(self.network_source)


class Noted(TypedDict, total=False):
    """The words that a run is remembered and found by."""

    name: str | None
    tags: Mapping[str, str]
    note: str | None


class _Transaction(NamedTuple):
    """A transaction in progress, and its time."""

    connection: Connection
    now: datetime


class Queue:
    """Submits runs and changes where they stand. Every method is one transaction, but for `as_one`.

    A run that is being driven belongs to its owner: pausing and cancelling it leave a request,
    which the owner reads when it commits or renews its lease, and does.
    """

    def __init__(self, database: Database, transaction: _Transaction | None = None) -> None:
        self._database = database
        self._transaction = transaction

    @contextmanager
    def as_one(self, run_ids: Iterable[str]) -> Iterator[Queue]:
        """A queue whose changes of these runs are one transaction: all are made, or none.

        A refusal by `StateConflict` leaves the transaction as it is: the caller may go on.
        """
        with self._begin() as transaction:
            for run_id in sorted(run_ids):  # two callers do not wait for each other
                claims.wait_for_writers(transaction.connection, run_id)
            yield Queue(self._database, transaction)

    def submit(
        self, submissions: Sequence[NewRun], key: SubmissionKey | None = None
    ) -> list[RunRecord]:
        """Store these runs, all or none of them; a network's source text once.

        If the `key` has been submitted, nothing is stored and its runs are returned.
        """
        now = self._database.now()
        ids = references.new_run_ids(now, len(submissions))
        records = [
            _record(new, new.run_id or run_id, now + timedelta(microseconds=place))
            for place, (new, run_id) in enumerate(zip(submissions, ids, strict=True))
        ]  # their order is their age
        with self._database.write() as connection:
            ids = [run.id for run in records]
            if key and (known := register_submission(connection, key, ids)):
                return [references.run_by_id(connection, run_id) for run_id in known]
            for new, run in zip(submissions, records, strict=True):
                _store(connection, new, run)
        return records

    def find_submission(self, key: SubmissionKey) -> list[RunRecord]:
        """Return the runs that were submitted with the key. Raises `SubmissionKeyReused`."""
        with self._database.read() as connection:
            ids = find_submission(connection, key)
            return [references.run_by_id(connection, run_id) for run_id in ids]

    def pause(self, run_id: str, reason: str | None = None) -> RunRecord:
        """Have it stop when it next commits, or not begin, until it is resumed."""
        return self._stop(run_id, Request.PAUSE, reason)

    def cancel(self, run_id: str, reason: str | None = None) -> RunRecord:
        """End it: at once if nobody drives it, else as soon as its owner reads of it."""
        return self._stop(run_id, Request.CANCEL, reason)

    def resume(self, run_id: str) -> RunRecord:
        """Queue a paused run again, or take back the wish to pause it."""
        with self._begin() as (connection, now):
            run = _lock_run(connection, run_id)
            if run.status is RunStatus.RUNNING and run.request is Request.PAUSE:
                _change(connection, run, now, "resumed", None, request=None, request_reason=None)
            elif run.status is RunStatus.PAUSED:
                queued = {"status": RunStatus.QUEUED, "reason": None}
                _change(connection, run, now, "resumed", None, **queued)
            else:
                refusal = f"Run {run.id} is {run.status}; only a paused one is resumed."
                raise StateConflict(f"{refusal}{_how_to_go_on(run)}")
            return references.run_by_id(connection, run.id)

    def set_priority(self, run_id: str, priority: int) -> RunRecord:
        """Have it taken before all runs of a lower priority, from now on."""
        references.validate_priority(priority)
        with self._begin() as (connection, now):
            run = _lock_run(connection, run_id)
            if run.status.is_finished:
                raise StateConflict(f"Run {run.id} is {run.status}; its priority has no use.")
            _change(connection, run, now, "priority", str(priority), priority=priority)
            return references.run_by_id(connection, run.id)

    def describe(self, run_id: str, **noted: Unpack[Noted]) -> RunRecord:
        """Give it this name or note, or these tags in place of its own; what is left out stays."""
        tags = references.validate_tags(noted["tags"]) if "tags" in noted else None
        lines = dict[str, str | None]()
        if "name" in noted:
            lines["name"] = references.validate_name(noted["name"])
        if "note" in noted:
            lines["note"] = references.validate_line("note", noted["note"])
        with self._begin() as (connection, now):
            run = _lock_run(connection, run_id)
            for kind, line in lines.items():
                if line != getattr(run, kind):
                    _change(connection, run, now, kind, line or "removed", **{kind: line})
            if tags is not None:
                _replace_tags(connection, run.id, now, tags)
            return references.run_by_id(connection, run.id)

    def tag(
        self, run_id: str, tags: Mapping[str, str], without: Collection[str] = ()
    ) -> dict[str, str]:
        """Add these tags to its own, in place of those of the same keys; return all that it has.

        Those with the keys `without` are removed.
        """
        references.validate_tags(tags)
        with self._begin() as (connection, now):
            run = _lock_run(connection, run_id)
            own = _read_tags(connection, run.id).items()
            left = {key: value for key, value in own if key not in without} | dict(tags)
            _replace_tags(connection, run.id, now, left)
            return left

    def expect_deletable(self, run_id: str, beside: Collection[str]) -> None:
        """Raise `StateConflict` if it cannot be deleted, after those `beside` it that need it."""
        now = self._database.now()
        with self._database.read() as connection:
            _expect_deletable(connection, references.run_by_id(connection, run_id), now, beside)

    def delete(self, run_id: str) -> None:
        """Remove it with all its history.

        A run that is being driven is refused, and one that an unfinished run's patience looks at.
        """
        with self._begin() as (connection, now):
            run = _lock_run(connection, run_id)
            _expect_deletable(connection, run, now)
            _store_deletion(connection, run, now)
            connection.execute(delete(runs).where(runs.c.id == run.id))

    @contextmanager
    def _begin(self) -> Iterator[_Transaction]:
        """The transaction that it belongs to, else one of its own."""
        if self._transaction:
            yield self._transaction
            return
        now = self._database.now()
        with self._database.write() as connection:
            yield _Transaction(connection, now)

    def _stop(self, run_id: str, request: Request, reason: str | None) -> RunRecord:
        references.validate_line("reason", reason)
        with self._begin() as (connection, now):
            run = _lock_run(connection, run_id)
            if run.status.is_finished or run.status is request.status:
                raise StateConflict(f"Run {run.id} is {run.status} already.")
            if run.request is Request.CANCEL and request is Request.PAUSE:
                raise StateConflict(f"Run {run.id} is to be cancelled; it cannot be paused.")
            if run.status is RunStatus.RUNNING and not claims.is_deserted(run, now):
                asked = {"request": request, "request_reason": reason}
                _change(connection, run, now, f"{request} requested", reason, **asked)
            else:
                claims.stop(connection, run, now, request, reason, current_actor())
            return references.run_by_id(connection, run.id)


def _lock_run(connection: Connection, run_id: str) -> RunRecord:
    claims.wait_for_writers(connection, run_id)
    return references.run_by_id(connection, run_id)


def _change(
    connection: Connection,
    run: RunRecord,
    now: datetime,
    kind: str,
    why: str | None,
    **values: Any,
) -> None:
    connection.execute(update(runs).where(runs.c.id == run.id).values(values))
    note(connection, run.id, now, kind, f"{kind}: {why}" if why else kind, current_actor())


def _expect_deletable(
    connection: Connection, run: RunRecord, now: datetime, beside: Collection[str] = ()
) -> None:
    if run.status is RunStatus.RUNNING and not claims.is_deserted(run, now):
        raise StateConflict(f"Run {run.id} is running; cancel it first.")
    expect_no_heirs(connection, run, beside)


def _store_deletion(connection: Connection, run: RunRecord, now: datetime) -> None:
    """Keep who deleted which run; its events go with it."""
    kept = ("name", "status", "completed_iterations", "created_at", "submitter", "submitter_host")
    actor = current_actor()
    row = {name: getattr(run, name) for name in kept} | {"run_id": run.id, "at": now}
    who = {"actor": actor.user, "actor_host": actor.host}
    connection.execute(insert(deletions), [row | who])


def _how_to_go_on(run: RunRecord) -> str:
    if run.status is RunStatus.QUEUED:
        return (
            " A scheduler of this database takes it by itself; without one, go on with: "
            f"{resume_words(run.id)}"
        )
    return f" Train it anew with: tapeworks retry {run.id}" if run.status.is_finished else ""


def _record(new: NewRun, run_id: str, now: datetime) -> RunRecord:
    actor = current_actor()
    return RunRecord(
        id=run_id,
        name=new.name,
        status=new.status,
        reason=new.reason,
        request=None,
        request_reason=None,
        priority=new.priority,
        note=new.note,
        submitter=actor.user,
        submitter_host=actor.host,
        parent_id=new.parent_id,
        parent_iterations=new.parent_iterations,
        configuration=new.configuration,
        network_digest=new.network_digest,
        iterations=new.iterations,
        completed_iterations=new.parent_iterations or 0,
        created_at=now,
        started_at=None,
        ended_at=None,
        owner=None,
        term=0,
        lease_until=None,
        fingerprint=new.fingerprint,
        images_digest=new.images_digest,
        parameters_digest=new.parameters_digest,
        first_loss=None,
        final_loss=None,
        test_loss=None,
        test_accuracy=None,
        pruned_at=None,
    )


def _store(connection: Connection, new: NewRun, run: RunRecord) -> None:
    if new.network_source is not None:
        store_network(connection, new.network_source)
    store(connection, [run])
    initial = CheckpointRecord(
        run_id=run.id,
        completed_iterations=run.completed_iterations,
        digest=new.parameters_digest,
        parameters=new.parameters,
        optimizer_state=new.optimizer_state,
        state_digest=digest_of(new.optimizer_state),
    )
    store(connection, [initial])
    _store_tags(connection, run.id, new.tags)
    wanted = iteration_count(run.iterations)
    submitted = f"submitted for {wanted}"
    note(connection, run.id, run.created_at, "submitted", submitted, current_actor())


def _read_tags(connection: Connection, run_id: str) -> dict[str, str]:
    of_run = select(stored_tags.c.key, stored_tags.c.value).where(stored_tags.c.run_id == run_id)
    return {row.key: row.value for row in connection.execute(of_run)}


def _replace_tags(
    connection: Connection, run_id: str, now: datetime, tags: Mapping[str, str]
) -> None:
    if tags == _read_tags(connection, run_id):
        return
    connection.execute(delete(stored_tags).where(stored_tags.c.run_id == run_id))
    _store_tags(connection, run_id, tags)
    told = ", ".join(f"{key}={value}" for key, value in tags.items()) or "removed"
    note(connection, run_id, now, "tags", f"tags: {told}", current_actor())


def _store_tags(connection: Connection, run_id: str, tags: Mapping[str, str]) -> None:
    rows = [{"run_id": run_id, "key": key, "value": value} for key, value in tags.items()]
    if rows:
        connection.execute(insert(stored_tags), rows)
