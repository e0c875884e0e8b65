"""`tapeworks runs` as a whole process, beside a Python that does nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.processes import TAPEWORKS, run
from tapeworks.model.config import RunConfig
from tapeworks.storage.commits import Commit
from tapeworks.storage.history import History
from tapeworks.storage.records import ImageValues, IterationRecord, LedgerRecord, RunStatus

#: Runs in the database that is listed.
RUNS = 200

#: Listings in one round, each beside one empty Python.
LISTINGS = 5

PARAMETERS = b"not read by a listing"
DIGEST = "0" * 64


def measure(directory: Path) -> Iterator[tuple[str, float]]:
    """Seconds of one listing and of `python -c pass`, by turns."""
    database = directory / "listed.db"
    if not database.exists():
        fill(database)
    for _ in range(LISTINGS):
        yield "empty_python_seconds", run([sys.executable, "-c", "pass"])[0]
        yield (
            "runs_command_seconds",
            run([TAPEWORKS, "runs"], TAPEWORKS_DATABASE_URL=str(database))[0],
        )


def fill(database: Path) -> None:
    """Complete that many runs of one iteration each."""
    history = History.open(database)
    for number in range(RUNS):
        _complete_run(history, f"run {number}")
    history.database.close()


def _complete_run(history: History, name: str) -> None:
    config = RunConfig(iterations=1)
    run_id = history.create_run(
        name=name,
        configuration=config.model_dump(mode="json"),
        iterations=config.iterations,
        parameters=PARAMETERS,
        parameters_digest=DIGEST,
        status=RunStatus.PAUSED,
    ).id
    claim = history.claim(run_id, "benchmark", lease_seconds=60)
    iteration = _iteration(run_id, claim.term, config.images)
    entry = _ledger_entry(iteration)
    commit = Commit(
        iteration=iteration,
        ledger=[entry],
        image_values=_values(config.images),
        parameters=PARAMETERS,
        fingerprint=None,
        keep_previous_checkpoint=True,
    )
    history.commit(claim, [commit])
    history.finish(claim, RunStatus.COMPLETED)


def _iteration(run_id: str, term: int, images: int) -> IterationRecord:
    return IterationRecord(
        run_id=run_id,
        iteration=0,
        images=images,
        loss=69.0,
        accuracy=0.5,
        gradient_norm=1.0,
        parameters_digest=DIGEST,
        term=term,
        shards=1,
        attempts=1,
        workers=1,
        started_at=datetime.now(UTC),
        seconds=0.1,
    )


def _values(images: int) -> ImageValues:
    numbers = bytes(4 * images)
    return ImageValues(losses=numbers, gradient_norms=numbers, predictions=bytes(images))


def _ledger_entry(iteration: IterationRecord) -> LedgerRecord:
    return LedgerRecord(
        run_id=iteration.run_id,
        iteration=0,
        first_image=0,
        image_count=iteration.images,
        shard=0,
        attempt=1,
        term=iteration.term,
        worker="benchmark",
        seconds=iteration.seconds,
        received_at=iteration.started_at,
    )
