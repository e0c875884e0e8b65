"""What an iteration's outcomes add up to, in image order whatever the order of arrival."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.average import total_loss
from model.datasets.data import ImageData
from model.parameters import to_bytes
from scheduler.work import Dispatcher, Outcome, Watcher, Work
from storage.records import Claim, LedgerRecord
from workers.messages import GRADIENT_NORMS, LOSSES, PREDICTIONS


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Computed:
    """One iteration as it was computed: what training stores and a replay compares."""

    outcomes: list[Outcome]  #: in image order
    images: int
    loss: float
    accuracy: float
    gradient_norm: float  #: of the mean gradient
    image_values: bytes  #: safetensors
    parameters: bytes  #: after the update; safetensors
    parameters_digest: str

    @property
    def workers(self) -> int:
        """How many computed it."""
        return len({outcome.worker for outcome in self.outcomes})


def gather(dispatcher: Dispatcher, work: Work, watcher: Watcher) -> list[Outcome]:
    """Every microbatch's outcome, in image order."""
    return sorted(dispatcher.compute(work, watcher), key=lambda outcome: outcome.microbatch.index)


def loss_of(outcomes: list[Outcome]) -> float:
    """Sum of all images' losses, in image order."""
    return total_loss(loss for outcome in outcomes for loss in outcome.losses)


def accuracy_of(outcomes: list[Outcome], data: ImageData) -> float:
    """Part of the images whose class the parameters predict."""
    right = sum(
        int((outcome.predictions == data.labels[list(outcome.microbatch.images)]).sum())
        for outcome in outcomes
    )
    return right / sum(len(outcome.losses) for outcome in outcomes)


def image_values(outcomes: list[Outcome]) -> bytes:
    """Loss, gradient norm and prediction of every image of the image set, as safetensors."""
    return to_bytes(
        {
            LOSSES: np.concatenate([outcome.losses for outcome in outcomes]),
            GRADIENT_NORMS: np.concatenate([outcome.gradient_norms for outcome in outcomes]),
            PREDICTIONS: np.concatenate([outcome.predictions for outcome in outcomes]),
        }
    )


def ledger_of(outcomes: list[Outcome], claim: Claim, iteration: int) -> list[LedgerRecord]:
    """A line for each microbatch: counted once, from whom, at which attempt."""
    return [
        LedgerRecord(
            run_id=claim.run_id,
            iteration=iteration,
            microbatch=outcome.microbatch.index,
            first_image=outcome.microbatch.first,
            image_count=len(outcome.microbatch.images),
            shard=outcome.shard,
            attempt=outcome.attempt,
            epoch=outcome.epoch,
            worker=outcome.worker,
            seconds=outcome.seconds,
            received_at=outcome.received_at,
        )
        for outcome in outcomes
    ]
