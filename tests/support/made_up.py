"""Made-up runs and iterations for tests of the history alone: nothing is computed."""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tapeworks.storage.commits import Commit
from tapeworks.storage.history import History
from tapeworks.storage.records import Claim, ImageValues, IterationRecord, LedgerRecord, RunRecord

#: A lease in seconds that outlasts every test.
LEASE = 60.0


def submit(history: History, **submitted: Any) -> RunRecord:
    values: dict[str, Any] = {
        "name": None,
        "configuration": {},
        "iterations": 3,
        "parameters": b"initial",
        "parameters_digest": hashlib.sha256(b"initial").hexdigest(),
    }
    return history.create_run(**values | submitted)


def submit_and_claim(history: History, lease_seconds: float = LEASE) -> Claim:
    return history.claim(submit(history).id, "alice", lease_seconds)


def iteration_of(claim: Claim, number: int = 0) -> IterationRecord:
    return IterationRecord(
        run_id=claim.run_id,
        iteration=number,
        images=20,
        loss=34.00000000000001 - number,
        accuracy=0.5,
        gradient_norm=0.1,
        parameters_digest=digest_of(number + 1),
        term=claim.term,
        shards=2,
        attempts=3,
        workers=2,
        started_at=datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC),
        seconds=0.25,
    )


def digest_of(completed_iterations: int) -> str:
    return hashlib.sha256(_parameters(completed_iterations)).hexdigest()


def _parameters(completed_iterations: int) -> bytes:
    return f"parameters {completed_iterations}".encode()


def values_of(number: int = 0, images: int = 20) -> ImageValues:
    return ImageValues(
        losses=array("f", [number + place / 7 for place in range(images)]).tobytes(),
        gradient_norms=array("f", [place / 3 for place in range(images)]).tobytes(),
        predictions=bytes(place % 2 for place in range(images)),
    )


def ledger_of(iteration: IterationRecord) -> list[LedgerRecord]:
    return [
        LedgerRecord(
            run_id=iteration.run_id,
            iteration=iteration.iteration,
            first_image=first_image,
            image_count=image_count,
            shard=shard,
            attempt=1,
            term=iteration.term,
            worker="worker-1",
            seconds=0.1,
            received_at=iteration.started_at,
        )
        for shard, (first_image, image_count) in enumerate([(0, 8), (8, 8), (16, 4)])
    ]


def commit(
    history: History,
    claim: Claim,
    number: int = 0,
    *,
    keep: bool = True,
    record: bool = True,
    parameters: bytes | None = None,
) -> None:
    content = parameters or _parameters(number + 1)
    iteration = replace(
        iteration_of(claim, number), parameters_digest=hashlib.sha256(content).hexdigest()
    )
    made = replace(commit_of(iteration), keep_previous_checkpoint=keep, record_images=record)
    history.commit(claim, [replace(made, parameters=content)])


def commit_of(iteration: IterationRecord) -> Commit:
    """All that this iteration leaves behind; the parameters before it are to stay."""
    return Commit(
        iteration=iteration,
        ledger=ledger_of(iteration),
        image_values=values_of(iteration.iteration, iteration.images),
        parameters=_parameters(iteration.iteration + 1),
        fingerprint="avx2",
        keep_previous_checkpoint=True,
    )


def kinds(history: History, run_id: str) -> list[str]:
    return [event.kind for event in history.events(run_id)]


def history_of_two_iterations(directory: Path) -> Path:
    """Two iterations over five images in microbatches of two, the second not recorded in full."""
    history = History.open(directory / "history.db")
    run = history.create_run(
        name=None, configuration={}, iterations=2, parameters=b"", parameters_digest=""
    )
    claim, now = history.claim(run.id, "me", 10.0), datetime.now(UTC)
    for iteration in range(2):
        record = IterationRecord(
            run_id=run.id,
            iteration=iteration,
            images=5,
            loss=1.0,
            accuracy=0.5,
            gradient_norm=1.0,
            parameters_digest="00" * 32,
            term=claim.term,
            shards=3,
            attempts=3,
            workers=3,
            started_at=now,
            seconds=0.1,
        )
        ledger = [
            LedgerRecord(
                run_id=run.id,
                iteration=iteration,
                first_image=2 * microbatch,
                image_count=count,
                shard=microbatch,
                attempt=1,
                term=claim.term,
                worker=f"w{microbatch}",
                seconds=0.1,
                received_at=now,
            )
            for microbatch, count in enumerate((2, 2, 1))
        ]
        values = ImageValues(losses=bytes(20), gradient_norms=bytes(20), predictions=bytes(5))
        commit = Commit(
            iteration=record,
            ledger=ledger,
            image_values=values,
            parameters=b"",
            fingerprint=None,
            keep_previous_checkpoint=True,
            record_images=False,
        )
        history.commit(claim, [commit])
    history.database.close()
    return directory / "history.db"
