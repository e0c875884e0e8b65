"""Each image's last known loss over the iterations, the hardest images on top."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tapeworks.comparison.runs import settings_of
from tapeworks.comparison.texts import picture_labels
from tapeworks.plotting.image_losses import (
    By,
    list_recorded,
    numbers_of,
    rank,
    read_image_losses,
    read_values,
)
from tapeworks.storage.history import History
from tapeworks.storage.records import ImageValues, RunRecord

#: A picture has room for so many columns and rows at most.
MOST_COLUMNS = 400
MOST_ROWS = 600

Losses = NDArray[np.float32]

_Item = TypeVar("_Item")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HeatMap:
    """Losses of images (rows) in iterations (columns)."""

    run_id: str
    label: str
    iterations: range  #: of the columns: all, or every so many up to the last
    images: NDArray[np.int64]  #: numbers in the run's data, the hardest first
    #: (rows, columns); the loss of an image when it was last recorded, NaN before that.
    losses: Losses
    is_last_known: bool  #: some losses are of an iteration before their column's
    #: How many of the images stand in each row, in their order; their mean loss is drawn.
    row_images: tuple[int, ...]
    by: By = By.LAST  #: the loss that orders the images

    def values(self) -> dict[str, Any]:
        """Everything that is drawn, as JSON values; a NaN as null."""
        return {
            "run_id": self.run_id,
            "by": self.by,
            "iterations": list(self.iterations),
            "images": self.images.tolist(),
            "row_images": list(self.row_images),
            "losses": [
                [None if math.isnan(loss) else loss for loss in row] for row in self.losses.tolist()
            ],
        }


def heat_map(history: History, run: RunRecord, by: By = By.LAST) -> HeatMap:
    """The losses of all the images that were seen, as many as a picture has room for."""
    columns = choose_iterations(run.first_iteration, run.completed_iterations)
    images, (recorded, is_partial) = settings_of(run)["images"], _recorded(history, run)
    needed = recorded if is_partial else newest_at(columns, recorded)
    losses = last_known(read_values(history, run, needed), images, columns)
    order = rank(losses[:, -1])
    if by is By.MEAN:  # over what lies between the columns too
        order = read_image_losses(history, run).rank(by)
    rows, row_images = group_rows(losses[order])
    return HeatMap(
        run_id=run.id,
        label=picture_labels([run])[0],
        iterations=columns,
        images=order,
        losses=rows,
        row_images=row_images,
        by=by,
        is_last_known=is_partial or not set(columns) <= set(recorded),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageLoss:
    """One image's loss in an iteration."""

    iteration: int
    loss: float
    predicted: bytes | None  #: the class's index, a byte; None if the network predicts nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageCourse:
    """One image's losses over the iterations, or evenly chosen ones of them."""

    losses: list[ImageLoss]
    recorded: int  #: iterations that computed the image and are recorded in full


def image_course(
    history: History, run: RunRecord, number: int, most: int | None = MOST_COLUMNS
) -> ImageCourse:
    """The losses of the image with this number, at most so many, the newest one always.

    Iterations that did not compute it, or are not recorded in full, are left out.
    """
    recorded, is_partial = _recorded(history, run)
    needed = recorded if is_partial or most is None else choose(recorded, most)
    course = []
    for iteration, values in read_values(history, run, needed):
        for place in np.flatnonzero(numbers_of(values) == number)[:1].tolist():
            loss = float(np.frombuffer(values.losses, "<f4")[place])
            predicted = values.predictions and values.predictions[place : place + 1]
            course.append(ImageLoss(iteration=iteration, loss=loss, predicted=predicted))
    chosen = course if most is None else choose(course, most)
    return ImageCourse(losses=chosen, recorded=len(course) if is_partial else len(recorded))


def choose(found: list[_Item], most: int) -> list[_Item]:
    """Return evenly chosen ones of them, at most so many, the last one always."""
    distance = -(-len(found) // most) or 1
    return found[::-1][::distance][::-1]


def choose_iterations(first: int, completed: int) -> range:
    """All committed iterations, or every so many of them, the last one always."""
    distance = -(-(completed - first) // MOST_COLUMNS)
    return range(first + (completed - first - 1) % distance, completed, distance)


def newest_at(columns: Sequence[int], recorded: Sequence[int]) -> list[int]:
    """Of the recorded iterations, in order, the newest at each column, once each."""
    places = np.searchsorted(recorded, columns, side="right")
    return [recorded[place - 1] for place in np.unique(places) if place]


def last_known(
    iterations: Iterable[tuple[int, ImageValues]], images: int, columns: Sequence[int]
) -> Losses:
    """(images, columns): the loss of each image when it was last recorded, NaN before that."""
    known: Losses = np.full(images, np.nan, np.float32)
    table, rest = [], iter(iterations)
    ahead = next(rest, None)
    for column in columns:
        while ahead and ahead[0] <= column:
            known[numbers_of(ahead[1])] = np.frombuffer(ahead[1].losses, "<f4")
            ahead = next(rest, None)
        table.append(known.copy())
    return np.stack(table, axis=1)


def group_rows(losses: Losses) -> tuple[Losses, tuple[int, ...]]:
    """As many rows as a picture has room for, and how many each is the mean of."""
    if len(losses) <= MOST_ROWS:
        return losses, (1,) * len(losses)
    parts = np.array_split(losses, MOST_ROWS)
    rows = np.array([_mean(part) for part in parts], np.float32)
    return rows, tuple(len(part) for part in parts)


def _mean(rows: Losses) -> Losses:
    """Of each column what is known; NaN if nothing is."""
    known = ~np.isnan(rows)
    counts = known.sum(axis=0)
    sums = np.where(known, rows, 0).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).astype(np.float32)


def _recorded(history: History, run: RunRecord) -> tuple[list[int], bool]:
    """The iterations recorded in full, and whether each computes only a part of the images."""
    recorded = list_recorded(history, run)
    first = history.image_values(run.id, min(recorded, default=run.first_iteration))
    return recorded, len(numbers_of(first)) < int(settings_of(run)["images"])
