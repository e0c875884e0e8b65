"""The losses of a run's images: each one's last known loss, and its mean over the iterations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from tapeworks.comparison.runs import settings_of
from tapeworks.storage.history import History
from tapeworks.storage.records import ImageValues, RunRecord

#: Iterations whose images' values are read at once.
AT_ONCE = 50


class By(StrEnum):
    """The loss by which images are ordered."""

    LAST = "last"  #: the last known one
    MEAN = "mean"  #: the mean over all iterations that are recorded in full


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ImageLosses:
    """Columns with a value for each of the run's images, by its number."""

    last: NDArray[np.float32]  #: the last known loss; NaN if none is
    means: NDArray[np.float64]  #: over the recorded iterations that computed it; NaN if none did
    counts: NDArray[np.int64]  #: how many those are
    iterations: NDArray[np.int64]  #: of the last known loss; -1 if there is none
    predicted: NDArray[np.int64]  #: the class's index then; -1 if nothing was predicted

    def rank(self, by: By) -> NDArray[np.int64]:
        """The images of which a loss is known, those with the highest first."""
        return rank(self.last if by is By.LAST else self.means)


def rank(losses: NDArray[np.floating]) -> NDArray[np.int64]:
    """The places of the losses that are known, the highest first, equal ones in their order."""
    order = np.argsort(-losses, kind="stable")  # NaN comes last
    return order[: np.count_nonzero(~np.isnan(losses))]


def read_image_losses(
    history: History, run: RunRecord, iterations: Sequence[int] | None = None
) -> ImageLosses:
    """The losses in these iterations, or in all of its own that the run recorded in full."""
    wanted = list_recorded(history, run) if iterations is None else iterations
    return add_up(read_values(history, run, wanted), int(settings_of(run)["images"]))


def read_last_losses(history: History, run: RunRecord) -> ImageLosses:
    """The same from as few of the newest iterations as have every image's last known loss."""
    images, recorded = int(settings_of(run)["images"]), list_recorded(history, run)
    needed, unseen = [], np.ones(images, np.bool_)
    for start in range(len(recorded), 0, -AT_ONCE):
        if not unseen.any():
            break
        part = recorded[max(0, start - AT_ONCE) : start]
        for iteration, values in reversed(list(read_values(history, run, part))):
            needed.append((iteration, values))
            unseen[numbers_of(values)] = False
            if not unseen.any():
                break
    return add_up(reversed(needed), images)


def add_up(iterations: Iterable[tuple[int, ImageValues]], images: int) -> ImageLosses:
    """Return the losses of so many images in these iterations, which are in their order."""
    last, sums = np.full(images, np.nan, np.float32), np.zeros(images)
    counts, newest = np.zeros(images, np.int64), np.full(images, -1)
    predicted = np.full(images, -1)
    for iteration, values in iterations:
        numbers, losses = numbers_of(values), np.frombuffer(values.losses, "<f4")
        last[numbers] = losses
        sums[numbers] += losses
        counts[numbers] += 1
        newest[numbers] = iteration
        if values.predictions is not None:
            predicted[numbers] = np.frombuffer(values.predictions, np.uint8)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return ImageLosses(
        last=last, means=means, counts=counts, iterations=newest, predicted=predicted
    )


def list_recorded(history: History, run: RunRecord) -> list[int]:
    """The iterations that were committed and recorded in full when the run was read."""
    recorded = history.list_recorded_iterations(run.id)
    return [iteration for iteration in recorded if iteration < run.completed_iterations]


def read_values(
    history: History, run: RunRecord, wanted: Sequence[int]
) -> Iterator[tuple[int, ImageValues]]:
    """Return these iterations' values, in order, but for those that stored none."""
    for start in range(0, len(wanted), AT_ONCE):
        yield from history.image_values_of(run.id, wanted[start : start + AT_ONCE]).items()


def numbers_of(values: ImageValues) -> NDArray[np.integer]:
    """The numbers of the images in the run's data."""
    if values.image_numbers is None:
        return np.arange(len(values.losses) // np.dtype("<f4").itemsize)
    return np.frombuffer(values.image_numbers, "<i4")
