"""Runs whose every number is chosen by hand: nothing is computed."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tapeworks.model.config import run_config
from tapeworks.scheduler.cadence import is_recorded
from tapeworks.storage.commits import Commit
from tapeworks.storage.history import History
from tapeworks.storage.records import (
    Claim,
    EvaluationRecord,
    ImageValues,
    IterationRecord,
    LedgerRecord,
    RunRecord,
    RunStatus,
)
from tests.support.made_up import LEASE

#: When the first iteration of every story begins; each takes a second, and a tenth lies between.
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDS, DISTANCE = 1.0, timedelta(seconds=1.1)


def tell(
    history: History,
    losses: Sequence[Sequence[float]],
    *,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    numbers: Sequence[Sequence[int]] | None = None,
    evaluations: Sequence[EvaluationRecord] = (),
    images_digest: str = "images",
    fingerprint: str = "avx2",
    initial: bytes = b"initial",
    predicts: bool = True,
    stored: Mapping[str, Any] | None = None,
    **submitted: Any,
) -> RunRecord:
    """A finished run with these losses, by iteration and place in the image set.

    Its settings decide which iterations are recorded in full; `stored` ones are not checked. Equal
    losses give equal parameters. Where nothing is predicted, gradients have no norms either.
    The first of two workers computes the first image, the other one all others, at its second
    attempt in odd iterations.
    """
    images = {"images": len(losses[0]) if losses else 2}
    wanted = {"iterations": max(len(losses), 1)} | images | dict(settings or {})
    config = run_config(wanted)
    run = history.create_run(
        name=name,
        configuration=config.model_dump(mode="json") | dict(stored or {}),
        iterations=wanted["iterations"],
        parameters=initial,
        parameters_digest=hashlib.sha256(initial).hexdigest(),
        **submitted,
    )
    if not losses:
        return run
    claim = history.claim(run.id, "alice", LEASE)
    history.set_images(claim, images_digest, bytes(wanted["images"]))
    for iteration, own in enumerate(losses):
        record = _record(claim, iteration, losses, predicts=predicts)
        commit = Commit(
            iteration=record,
            ledger=ledger_of(record),
            image_values=values_of(own, numbers[iteration] if numbers else None, predicts=predicts),
            parameters=repr(losses[: iteration + 1]).encode(),
            fingerprint=fingerprint,
            keep_previous_checkpoint=True,
            record_images=is_recorded(config, iteration),
        )
        history.commit(claim, [commit])
    for evaluation in evaluations:
        history.record_evaluation(claim, replace(evaluation, run_id=run.id))
    history.finish(claim, RunStatus.COMPLETED)
    return history.find_run(run.id)


def evaluated(after: int, loss: float, accuracy: float | None, images: int = 4) -> EvaluationRecord:
    """An evaluation for a story to take up."""
    return EvaluationRecord(
        run_id="", completed_iterations=after, images=images, loss=loss, accuracy=accuracy
    )


def values_of(
    losses: Sequence[float], numbers: Sequence[int] | None = None, *, predicts: bool = True
) -> ImageValues:
    """Every second image is taken for the second class, if anything is predicted."""
    norms = array("f", [2 * loss for loss in losses]).tobytes()
    return ImageValues(
        losses=array("f", losses).tobytes(),
        gradient_norms=norms if predicts else None,
        predictions=bytes(place % 2 for place in range(len(losses))) if predicts else None,
        image_numbers=None if numbers is None else array("i", numbers).tobytes(),
    )


def ledger_of(record: IterationRecord) -> list[LedgerRecord]:
    later = 1 + record.iteration % 2
    lines = [("desk-9", 0, 1, 1, 0.5), ("desk-10", 1, record.images - 1, later, 0.75)]
    return [
        LedgerRecord(
            run_id=record.run_id,
            iteration=record.iteration,
            first_image=first,
            image_count=count,
            shard=shard,
            attempt=attempt,
            term=record.term,
            worker=worker,
            seconds=seconds,
            received_at=record.started_at + timedelta(seconds=0.1 + seconds),
        )
        for shard, (worker, first, count, attempt, seconds) in enumerate(lines)
        if count
    ]


def _record(
    claim: Claim, iteration: int, losses: Sequence[Sequence[float]], *, predicts: bool
) -> IterationRecord:
    own = losses[iteration]
    return IterationRecord(
        run_id=claim.run_id,
        iteration=iteration,
        images=len(own),
        loss=sum(own),
        accuracy=0.5 if predicts else None,
        gradient_norm=1.0 + iteration,
        parameters_digest=hashlib.sha256(repr(losses[: iteration + 1]).encode()).hexdigest(),
        term=claim.term,
        shards=2,
        attempts=3,
        workers=2,
        started_at=NOON + iteration * DISTANCE,
        seconds=SECONDS,
    )
