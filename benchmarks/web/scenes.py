"""Runs that are looked at beside those of the large history: a long one, and one that trains."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from sqlalchemy import insert

from benchmarks.history.made_up import MadeUp, made_up_run, run_id
from benchmarks.web.looks import Subjects
from benchmarks.web.server import Server, serve_web
from tapeworks.model import datasets
from tapeworks.model.config import RunConfig
from tapeworks.scheduler.driving.driver import images_digest
from tapeworks.storage import tables
from tapeworks.storage.claims import LONGEST_LEASE
from tapeworks.storage.commits import Commit
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tapeworks.storage.owners import current_owner
from tapeworks.storage.records import Claim, ImageValues, IterationRecord, LedgerRecord

#: The number of the long run; the others are counted from 1, and so is what comes after them.
LONG = 0

#: Iterations that are stored together.
TOGETHER = 1000

#: Iterations of the run that trains before anybody looks, and how many it is to have.
BEGUN, WANTED = 500, 1_000_000

#: Images in an iteration, of the data set that is part of the package.
IMAGES = 50

#: As long as a lease may be: pages are watched for a while without any change.
LEASE_SECONDS = LONGEST_LEASE.total_seconds()


def add_long_run(database: Database, iterations: int) -> str:
    """Add a made-up run of many more iterations than the others have; return its id."""
    made_up = made_up_run(LONG, iterations)
    made_up.runs[0]["configuration"]["dataset"] = "digits"  # which needs no download
    for field in fields(MadeUp):
        rows = getattr(made_up, field.name)
        for first in range(0, len(rows), TOGETHER):
            with database.write() as connection:
                connection.execute(
                    insert(getattr(tables, field.name)), rows[first : first + TOGETHER]
                )
    return run_id(LONG)


@dataclass(frozen=True, kw_only=True)
class Training:
    """A run that this process drives, without computing anything."""

    history: History
    claim: Claim

    @contextmanager
    def keep_committing(self, per_second: float) -> Iterator[None]:
        """Commit so many iterations in a second, in a thread."""
        over = threading.Event()
        thread = threading.Thread(target=self._commit_on, args=(1 / per_second, over))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def commit(self, iteration: int) -> None:
        """Commit one iteration."""
        record = _record(self.claim, iteration)
        values = bytes(4 * IMAGES)
        self.history.commit(
            self.claim,
            [
                Commit(
                    iteration=record,
                    ledger=[_entry(record)],
                    image_values=ImageValues(
                        losses=values, gradient_norms=values, predictions=bytes(IMAGES)
                    ),
                    parameters=b"not read by a page",
                    fingerprint=None,
                    keep_previous_checkpoint=False,
                )
            ],
        )

    def renew(self) -> int:
        """Go on being its driver; return how many iterations it has."""
        return self.history.renew(self.claim, LEASE_SECONDS).completed_iterations

    def _commit_on(self, seconds: float, over: threading.Event) -> None:
        iteration, due = self.renew(), time.monotonic()
        while not over.wait(max(0.0, due - time.monotonic())):
            self.commit(iteration)
            iteration, due = iteration + 1, due + seconds
            if not iteration % TOGETHER:
                self.renew()


def begin_training(history: History) -> Training:
    """Submit a run on the digits, which can be looked at, and commit its first iterations."""
    config = RunConfig(dataset="digits", classes=(3, 6), images=IMAGES, iterations=WANTED)
    run = history.create_run(
        name="trains",
        configuration=config.model_dump(mode="json"),
        iterations=WANTED,
        parameters=b"not read by a page",
        parameters_digest="0" * 64,
        tags={"study": "live"},
    )
    claim = history.claim(run.id, current_owner(), LEASE_SECONDS)
    data = datasets.load(config)
    history.set_images(claim, images_digest(data), bytes(data.training.labels.tolist()))
    training = Training(history=history, claim=claim)
    for iteration in range(BEGUN):
        training.commit(iteration)
    return training


def _record(claim: Claim, iteration: int) -> IterationRecord:
    return IterationRecord(
        run_id=claim.run_id,
        iteration=iteration,
        images=IMAGES,
        loss=30.0 + 40.0 / (1 + iteration / 50),
        accuracy=0.5,
        gradient_norm=1.0,
        parameters_digest=f"{iteration:064x}",
        term=claim.term,
        shards=1,
        attempts=1,
        workers=1,
        started_at=datetime.now(UTC),
        seconds=0.1,
    )


def _entry(record: IterationRecord) -> LedgerRecord:
    return LedgerRecord(
        run_id=record.run_id,
        iteration=record.iteration,
        first_image=0,
        image_count=record.images,
        shard=0,
        attempt=1,
        term=record.term,
        worker="desk1-1011",
        seconds=record.seconds,
        received_at=record.started_at,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A filled database, and the runs in it that are looked at."""

    address: str
    subjects: Subjects
    training: Training

    @contextmanager
    def serve(self) -> Iterator[Server]:
        """A web page of it, beside a run whose lease is new."""
        self.training.renew()
        with serve_web(self.address) as server:
            yield server

    def close(self) -> None:
        """Close the connections to the database."""
        self.training.history.database.close()
