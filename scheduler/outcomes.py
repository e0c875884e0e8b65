"""What an iteration's outcomes add up to, in image order whatever the order of arrival."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from model.average import total_loss
from model.datasets.data import ImageData
from scheduler.work import Dispatcher, Outcome, Watcher, Work
from storage.records import Claim, ImageValues, LedgerRecord


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Computed:
    """One iteration as it was computed: what training stores and a replay compares."""

    outcomes: list[Outcome]  #: in image order
    images: int
    loss: float
    accuracy: float
    gradient_norm: float  #: of the mean gradient
    image_values: ImageValues
    parameters: bytes  #: after the update; safetensors
    parameters_digest: str
    optimizer_state: bytes | None  #: after the update; None if nothing is remembered

    @property
    def workers(self) -> int:
        """How many computed it."""
        return len({outcome.worker for outcome in self.outcomes})


def gather(dispatcher: Dispatcher, work: Work, watcher: Watcher) -> list[Outcome]:
    """Every microbatch's outcome, in image order."""
    return sorted(dispatcher.compute(work, watcher), key=lambda outcome: outcome.microbatch.index)


def loss_of(outcomes: list[Outcome]) -> float:
    """Sum of all images' losses, in image order."""
    return total_loss(np.concatenate([outcome.losses for outcome in outcomes]))


def accuracy_of(outcomes: list[Outcome], data: ImageData) -> float:
    """Part of the images whose class the parameters predict."""
    right = sum(
        int((outcome.predictions == data.labels[list(outcome.microbatch.images)]).sum())
        for outcome in outcomes
    )
    return right / sum(len(outcome.losses) for outcome in outcomes)


def confusion_of(outcomes: list[Outcome], data: ImageData, class_count: int) -> list[list[int]]:
    """How many images of each class (row) are predicted to be of each class (column)."""
    counts = np.zeros((class_count, class_count), np.int64)
    for outcome in outcomes:
        truth = data.labels[list(outcome.microbatch.images)]
        np.add.at(counts, (truth, outcome.predictions), 1)
    rows: list[list[int]] = counts.tolist()
    return rows


def image_values(outcomes: list[Outcome]) -> ImageValues:
    """Loss, gradient norm and prediction of every image of the image set."""
    losses = np.concatenate([outcome.losses for outcome in outcomes])
    norms = np.concatenate([outcome.gradient_norms for outcome in outcomes])
    predictions = np.concatenate([outcome.predictions for outcome in outcomes])
    numbers = [image for outcome in outcomes for image in outcome.microbatch.images]
    in_place = numbers == list(range(len(numbers)))
    return ImageValues(
        losses=losses.astype("<f4").tobytes(),
        gradient_norms=norms.astype("<f4").tobytes(),
        predictions=predictions.astype(np.uint8).tobytes(),
        image_numbers=None if in_place else np.array(numbers, "<i4").tobytes(),
    )


def ledger_of(outcomes: list[Outcome], claim: Claim, iteration: int) -> list[LedgerRecord]:
    """A line for neighbouring microbatches of one answer: counted once, from whom, when."""
    lines = []
    for answer, group in groupby(outcomes, _answer):
        together = list(group)
        lines.append(
            LedgerRecord(
                run_id=claim.run_id,
                iteration=iteration,
                first_image=together[0].microbatch.first,
                image_count=sum(len(outcome.microbatch.images) for outcome in together),
                **answer,
            )
        )
    return lines


def _answer(outcome: Outcome) -> dict[str, Any]:
    """What tells the answer that the outcome came with."""
    return {
        "shard": outcome.shard,
        "attempt": outcome.attempt,
        "epoch": outcome.epoch,
        "worker": outcome.worker,
        "seconds": outcome.seconds,
        "received_at": outcome.received_at,
    }
