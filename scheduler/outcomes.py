"""The time, loss, accuracy, values and ledger of an iteration, from its shards' outcomes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.datasets.source import ImageData
from tapeworks.model.networks.spec import GRADIENT_NORMS, LOSSES, PREDICTIONS
from tapeworks.model.parameters import Arrays
from tapeworks.model.reduction import global_norm, total_loss
from tapeworks.scheduler.dispatch.contract import Outcome, Work
from tapeworks.storage.records import Claim, ImageValues, LedgerRecord


class Lap:
    """The time of one iteration, from now on."""

    def __init__(self) -> None:
        self.started_at, self._began = datetime.now(UTC), time.perf_counter()
        self.seconds = 0.0

    def end(self) -> Lap:
        """Measure it until now."""
        self.seconds = time.perf_counter() - self._began
        return self


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Computed:
    """One iteration as it was computed: what training stores and a replay compares."""

    work: Work
    outcomes: list[Outcome]  #: one per shard, in the image set's order
    gradient: Arrays  #: the mean of the image set's
    parameters: bytes  #: after the update; safetensors
    parameters_digest: str
    optimizer_state: bytes | None  #: after the update; None if nothing is remembered

    # Computed when it is asked for: the next iteration is started before.

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.work.images)

    @property
    def loss(self) -> float:
        """Sum of all images' losses, in image order."""
        return loss_of(self.outcomes)

    @property
    def accuracy(self) -> float | None:
        """Part of the images whose class the parameters before the update predict.

        None for a network without predictions, as in `accuracy_of`.
        """
        return accuracy_of(self.outcomes, self.work.data)

    @property
    def gradient_norm(self) -> float:
        """Euclidean norm of the mean gradient."""
        return global_norm(self.gradient)

    @property
    def image_values(self) -> ImageValues:
        """Loss, gradient norm and prediction of every image."""
        return image_values(self.outcomes)

    @property
    def workers(self) -> int:
        """The number of workers whose answers were counted."""
        return len({outcome.worker for outcome in self.outcomes})


def loss_of(outcomes: list[Outcome]) -> float:
    """Sum of all images' losses, in image order."""
    return total_loss(_join(outcomes, LOSSES))


def accuracy_of(outcomes: list[Outcome], data: ImageData) -> float | None:
    """Part of the images whose class the parameters predict; None without predictions."""
    if PREDICTIONS not in outcomes[0].values:
        return None
    truth = data.labels[images_of(outcomes)]
    return int((_join(outcomes, PREDICTIONS) == truth).sum()) / len(truth)


def confusion_of(
    outcomes: list[Outcome], data: ImageData, class_count: int | None
) -> list[list[int]] | None:
    """Count the images of each class (row) that are predicted to be of each class (column).

    None for a network without predictions.
    """
    if PREDICTIONS not in outcomes[0].values or class_count is None:
        return None
    truth = data.labels[images_of(outcomes)]
    counts = np.zeros((class_count, class_count), np.int64)
    np.add.at(counts, (truth, _join(outcomes, PREDICTIONS)), 1)
    rows: list[list[int]] = counts.tolist()
    return rows


def images_of(outcomes: list[Outcome]) -> NDArray[np.int64]:
    """Numbers of the images in the run's data, in the image set's order."""
    return np.concatenate([outcome.shard.images for outcome in outcomes])


def _join(outcomes: list[Outcome], name: str) -> NDArray[Any]:
    return np.concatenate([outcome.values[name] for outcome in outcomes])


def image_values(outcomes: list[Outcome]) -> ImageValues:
    """Loss, gradient norm and prediction of every image of the image set."""
    values = outcomes[0].values
    norms = _join(outcomes, GRADIENT_NORMS) if GRADIENT_NORMS in values else None
    predictions = _join(outcomes, PREDICTIONS) if PREDICTIONS in values else None
    numbers = images_of(outcomes)
    in_place = np.array_equal(numbers, np.arange(len(numbers)))
    return ImageValues(
        losses=_join(outcomes, LOSSES).astype("<f4").tobytes(),
        gradient_norms=None if norms is None else norms.astype("<f4").tobytes(),
        predictions=None if predictions is None else predictions.astype(np.uint8).tobytes(),
        image_numbers=None if in_place else numbers.astype("<i4").tobytes(),
    )


def ledger_of(outcomes: list[Outcome], claim: Claim, iteration: int) -> list[LedgerRecord]:
    """A line for each shard: which of its attempts was counted, from whom, when."""
    return [
        LedgerRecord(
            run_id=claim.run_id,
            iteration=iteration,
            first_image=outcome.shard.first_image,
            image_count=len(outcome.shard.images),
            shard=outcome.shard.index,
            attempt=outcome.key.attempt,
            term=outcome.key.term,
            worker=outcome.worker,
            seconds=outcome.seconds,
            received_at=outcome.received_at,
        )
        for outcome in outcomes
    ]
