"""The history of all runs: the one contract between SQL and everybody else."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Never, TypeVar

from sqlalchemy import Connection, and_, delete, func, select

from tapeworks.storage import claims, references
from tapeworks.storage.checkpoints import check_digests, read_checkpoint
from tapeworks.storage.claims import Bid
from tapeworks.storage.commits import Commit, check_commits, store_commits
from tapeworks.storage.connection.database import Database
from tapeworks.storage.connection.outages import Repeat, once, unit_of_work
from tapeworks.storage.errors import DatabaseReadOnly, IterationNotRecorded, NotCopied, RightMissing
from tapeworks.storage.iterations import (
    read_image_values,
    read_iterations,
    read_ledger,
    read_mean_losses,
    read_recorded,
    read_workers,
)
from tapeworks.storage.lineage import ancestors, read_curve, read_inherited_evaluations
from tapeworks.storage.networks import read_network
from tapeworks.storage.records import (
    CheckpointRecord,
    Claim,
    EvaluationRecord,
    EventRecord,
    ImageValues,
    IterationRecord,
    LedgerRecord,
    RunRecord,
    RunStatus,
    WorkerSummary,
)
from tapeworks.storage.rows import all_of, fetch, is_noted, store
from tapeworks.storage.run_queue import NewRun, Queue
from tapeworks.storage.tables import evaluations, events, runs, tags

#: A claim, or none where there may be none.
Taken = TypeVar("Taken", Claim, Claim | None)


class History:
    """Runs, iterations, parameters and events, as they were committed.

    Anybody may read, submit a run (`create_run`) and put abandoned runs back into the queue
    (`release_abandoned`). Everything else is written by the run's owner alone, with the claim that
    it got from `claim_next` or `claim`: while the run is running and no later claim exists, or
    `LeaseLost` is raised and nothing is written. An expired lease alone refuses nothing; it lets
    others take the run, and their claim ends this one.

    Every method is one transaction; what it returns is frozen and stays true of its moment. What
    an owner needs are units of work: done twice, because the answer to the first time was lost,
    they leave the same as done once.
    """

    def __init__(self, database: Database, repeat: Repeat = once) -> None:
        self.database = database
        self._repeat = repeat

    def __reduce__(self) -> Never:
        raise NotCopied("history")

    @classmethod
    def open(cls, url: str | Path) -> History:
        """The history at this URL or path, created if need be, its schema checked."""
        database = Database(url)
        database.ensure_schema()
        return cls(database)

    def patient(self, repeat: Repeat) -> History:
        """The same history, whose units of work are done by `repeat`: as often as it takes."""
        return History(self.database, repeat)

    # Submitting and finding

    @property
    def queue(self) -> Queue:
        """The requests that anybody may make: new runs, and others paused, resumed or cancelled."""
        return Queue(self.database)

    def create_run(self, **values: Any) -> RunRecord:
        """Submit one run, whose `NewRun` has these values."""
        return self.queue.submit([NewRun(**values)])[0]

    @unit_of_work
    def find_run(self, reference: str) -> RunRecord:
        """The run with this id, else the newest with this name, else the one whose id starts so."""
        with self.database.read() as connection:
            return references.find_run(connection, reference)

    def runs(self, limit: int | None = None) -> list[RunRecord]:
        """All runs, or the newest few, newest first."""
        newest_first = all_of(RunRecord).order_by(runs.c.created_at.desc(), runs.c.id.desc())
        with self.database.read() as connection:
            return fetch(connection, RunRecord, newest_first.limit(limit))

    def count_by_status(self) -> dict[RunStatus, int]:
        """Count the runs by their status; one that no run has is missing."""
        counted = select(runs.c.status, func.count()).group_by(runs.c.status)
        with self.database.read() as connection:
            return {RunStatus(status): number for status, number in connection.execute(counted)}

    # Claiming

    def claim_next(
        self,
        owner: str,
        lease_seconds: float,
        fingerprints: Collection[str] = (),
        refused: Collection[str] = (),
    ) -> Claim | None:
        """Take the oldest submission that nobody drives; None if there is none.

        Those that workers of these fingerprints can compute, which refuse these networks, go before
        all others.
        """
        take = functools.partial(claims.take_next, fingerprints=fingerprints, refused=refused)
        return self._claim(owner, lease_seconds, take)

    @unit_of_work
    def has_queued(self, fingerprints: Collection[str], refused: Collection[str] = ()) -> bool:
        """Report whether a run is queued that such workers can compute, as in `claim_next`."""
        fits = claims.can_be_computed(fingerprints, refused)
        queued = and_(runs.c.status == RunStatus.QUEUED, fits)
        with self.database.read() as connection:
            return connection.execute(select(runs.c.id).where(queued).limit(1)).first() is not None

    def claim(self, run_id: str, owner: str, lease_seconds: float) -> Claim:
        """Take this run, also a paused one; `StateConflict` if it is driven or has ended."""

        def take(connection: Connection, bid: Bid) -> Claim:
            return claims.take(connection, run_id, bid)

        return self._claim(owner, lease_seconds, take, run_id)

    @unit_of_work
    def renew(self, claim: Claim, lease_seconds: float) -> RunRecord:
        """Renew the lease, counted from now; the run that is returned may hold a request."""
        bid = self._bid(claim.owner, lease_seconds)
        with self.database.write() as connection:
            return claims.hold(connection, claim, lease_until=bid.lease_until)

    @unit_of_work
    def release(self, claim: Claim, status: RunStatus, reason: str | None) -> None:
        """Give the run up for a while, queued or paused. May be repeated."""
        _expect(status, RunStatus.QUEUED, RunStatus.PAUSED)
        self._leave(claim, status, reason)

    @unit_of_work
    def finish(
        self, claim: Claim, status: RunStatus, reason: str | None = None, *, after: int = 0
    ) -> None:
        """End the run: completed, failed or cancelled. May be repeated.

        Raises `HistoryRolledBack` if the database remembers less than so many iterations.
        """
        _expect(status, RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)
        self._leave(claim, status, reason, after)

    @unit_of_work
    def apply_request(self, claim: Claim) -> None:
        """Pause or cancel the run as was asked, or queue it if that was taken back meanwhile."""
        now = self.database.now()
        with self.database.write() as connection:
            claims.apply_request(connection, claim, now)

    def release_abandoned(self) -> list[RunRecord]:
        """Queue every run again whose lease is over or whose owner is dead; return those runs.

        What is listed after it is true: no run is shown running that nobody drives. A reader who
        may not write sees the runs as they stand.
        """
        now = self.database.now()
        with self.database.read() as connection:
            abandoned = select(runs.c.id).where(claims.is_abandoned(connection, now))
            if connection.scalar(abandoned.limit(1)) is None:
                return []
        with suppress(DatabaseReadOnly, RightMissing), self.database.write() as connection:
            return claims.release_abandoned(connection, now)
        return []

    # Writing, as the owner

    @unit_of_work
    def commit(self, claim: Claim, commits: Sequence[Commit]) -> RunRecord:
        """Advance the run by one iteration or several that follow each other, in one transaction.

        Each ledger must count each of its iteration's images once. Of the parameters before an
        iteration none stay but those that are to be kept and the initial ones. Retried because
        the answer was lost, it does nothing. The run that is returned may hold a request.
        Raises `HistoryRolledBack` if the database has forgotten an iteration before these.
        """
        check_commits(claim, commits)
        with self.database.write() as connection:
            return store_commits(connection, claim, commits)

    @unit_of_work
    def record_evaluation(self, claim: Claim, evaluation: EvaluationRecord) -> None:
        """Store how the parameters do on held-out images, in place of an earlier evaluation."""
        same = (
            evaluations.c.run_id == claim.run_id,
            evaluations.c.completed_iterations == evaluation.completed_iterations,
        )
        of_run = {"test_loss": evaluation.loss, "test_accuracy": evaluation.accuracy}
        with self.database.write() as connection:
            claims.hold(connection, claim, **of_run)
            connection.execute(delete(evaluations).where(*same))
            store(connection, [evaluation])

    @unit_of_work
    def set_images(
        self, claim: Claim, digest: str, labels: bytes | None, rows: bytes | None = None
    ) -> None:
        """Note which images the run trains on: each one's class, a byte, if it has one, and row.

        `rows` are indices in the data set, int32 as little-endian bytes; None: the images' numbers.
        """
        noted = {"images_digest": digest, "labels": labels, "image_rows": rows}
        with self.database.write() as connection:
            claims.hold(connection, claim, **noted)

    def add_event(
        self,
        claim: Claim,
        kind: str,
        message: str,
        at: datetime | None = None,
        worker: str | None = None,
    ) -> None:
        """Add a sentence to the run's story, unless it is there; `at` is when it happened, or now.

        It may be about a `worker`. An owner that has left the run may still tell how, until a later
        claim exists.
        """
        at = at or self._repeat(self.database.now)
        event = EventRecord(run_id=claim.run_id, at=at, kind=kind, message=message, worker=worker)
        self._add_event(claim, event)

    # Reading

    def iterations(self, run_id: str, first: int = 0) -> list[IterationRecord]:
        """The committed iterations, in order, from the `first`: the loss history."""
        with self.database.read() as connection:
            return read_iterations(connection, run_id, first)

    def sample_mean_losses(
        self, wanted: Mapping[str, Sequence[int]]
    ) -> dict[str, list[tuple[int, float]]]:
        """Return of each run these iterations with a mean image's loss, if they are there."""
        with self.database.read() as connection:
            return {run: read_mean_losses(connection, run, at) for run, at in wanted.items()}

    def curve(self, run: RunRecord) -> list[IterationRecord]:
        """The run's iterations after those of the runs that it goes on from, each by its run."""
        with self.database.read() as connection:
            return read_curve(connection, run)

    @unit_of_work
    def list_inherited_evaluations(
        self, run: RunRecord
    ) -> list[tuple[RunRecord, EvaluationRecord]]:
        """Return the evaluations of the runs that it goes on from, on their way to it, in order."""
        with self.database.read() as connection:
            return [
                (ancestor.run, evaluation)
                for ancestor in ancestors(connection, run)
                for evaluation in read_inherited_evaluations(connection, ancestor)
            ]

    def ledger(self, run_id: str, iteration: int | None = None) -> list[LedgerRecord]:
        """Return which worker computed which images, of one iteration or of all, in image order."""
        with self.database.read() as connection:
            return list(read_ledger(connection, run_id, iteration))

    @unit_of_work
    def network_source(self, digest: str) -> str:
        """The source text of a user's network, checked. Raises `NetworkNotFound`."""
        with self.database.read() as connection:
            return read_network(connection, digest)

    def tags(self, run_id: str) -> dict[str, str]:
        """The run's tags, by key."""
        of_run = select(tags.c.key, tags.c.value).where(tags.c.run_id == run_id)
        with self.database.read() as connection:
            return {row.key: row.value for row in connection.execute(of_run.order_by(tags.c.key))}

    def workers(self, run_id: str) -> list[WorkerSummary]:
        """Return the workers that computed for the run, those with the most images first."""
        with self.database.read() as connection:
            return read_workers(connection, run_id)

    def events(self, run_id: str) -> list[EventRecord]:
        """The run's story, in the order in which it was written."""
        query = all_of(EventRecord).where(events.c.run_id == run_id).order_by(events.c.id)
        with self.database.read() as connection:
            return fetch(connection, EventRecord, query)

    @unit_of_work
    def workers_in_events(self, run_id: str, kind: str) -> frozenset[str]:
        """Return the workers that the run's events of this kind are about."""
        of_kind = events.c.run_id == run_id, events.c.kind == kind, events.c.worker.is_not(None)
        names = select(events.c.worker).where(*of_kind)
        with self.database.read() as connection:
            return frozenset(connection.scalars(names))

    @unit_of_work
    def evaluations(self, run_id: str) -> list[EvaluationRecord]:
        """The evaluations, in the order of their iterations."""
        query = all_of(EvaluationRecord).where(evaluations.c.run_id == run_id)
        in_order = query.order_by(evaluations.c.completed_iterations)
        with self.database.read() as connection:
            return fetch(connection, EvaluationRecord, in_order)

    @unit_of_work
    def checkpoint(self, run_id: str, completed_iterations: int | None = None) -> CheckpointRecord:
        """The parameters after so many iterations, or the newest; their digests are verified.

        Raises `CheckpointNotFound` or `CheckpointDamaged`.
        """
        with self.database.read() as connection:
            found = read_checkpoint(connection, run_id, completed_iterations)
            check_digests(connection, found)
        return found

    def read_unverified_checkpoint(
        self, run_id: str, completed_iterations: int
    ) -> CheckpointRecord:
        """The same as it is stored, damaged or not, for readers that compare it themselves."""
        with self.database.read() as connection:
            return read_checkpoint(connection, run_id, completed_iterations)

    def list_recorded_iterations(self, run_id: str) -> list[int]:
        """The iterations whose images' values and answers' times are stored, in order."""
        with self.database.read() as connection:
            return read_recorded(connection, run_id)

    def image_values(self, run_id: str, iteration: int) -> ImageValues:
        """The per-image losses, gradient norms and predictions, as far as the network has them.

        Raises `IterationNotFound`, or `IterationNotRecorded` if they were not stored.
        """
        found = self.image_values_of(run_id, [iteration])
        if not found:
            raise IterationNotRecorded(run_id, iteration, self.list_recorded_iterations(run_id))
        return found[iteration]

    def image_values_of(self, run_id: str, iterations: Sequence[int]) -> dict[int, ImageValues]:
        """Return the values of these iterations, in order, but for those that stored none.

        Raises `IterationNotFound`.
        """
        with self.database.read() as connection:
            return read_image_values(connection, run_id, iterations)

    def _bid(self, owner: str, lease_seconds: float) -> Bid:
        return Bid(owner=owner, now=self.database.now(), lease_seconds=lease_seconds)

    def _claim(
        self,
        owner: str,
        lease_seconds: float,
        take: Callable[[Connection, Bid], Taken],
        run_id: str | None = None,
    ) -> Claim | Taken:
        bids: list[Bid] = []  # each with the time of its own attempt: an outage may outlast a lease

        def attempt() -> Claim | Taken:
            bids.append(self._bid(owner, lease_seconds))
            with self.database.write() as connection:
                if run_id:  # an earlier attempt of ours may be ending only now
                    claims.wait_for_writers(connection, run_id)
                return claims.find_lost_claim(connection, bids) or take(connection, bids[-1])

        return self._repeat(attempt)

    @unit_of_work
    def _add_event(self, claim: Claim, event: EventRecord) -> None:
        with self.database.write() as connection:
            claims.expect_no_later(connection, claim)
            if not is_noted(connection, event):
                store(connection, [event])

    def _leave(self, claim: Claim, status: RunStatus, reason: str | None, after: int = 0) -> None:
        now = self.database.now()
        with self.database.write() as connection:
            claims.leave(connection, claim, now, status, reason, after)


def _expect(status: RunStatus, *allowed: RunStatus) -> None:
    if status not in allowed:
        raise ValueError(f"Expected {' or '.join(allowed)}. Received: status={status.value}")
