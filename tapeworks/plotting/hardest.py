"""Single images of a run: what they are, what they were taken for, and their losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.comparison.runs import settings_of
from tapeworks.comparison.texts import picture_labels
from tapeworks.errors import UsageError
from tapeworks.plotting.image_losses import By, ImageLosses, read_image_losses
from tapeworks.storage.errors import ImageNotFound, IterationNotRecorded
from tapeworks.storage.history import History
from tapeworks.storage.queries.overview import read_labels, read_rows, row_of
from tapeworks.storage.records import RunRecord

if TYPE_CHECKING:
    from tapeworks.model.datasets.source import Split

#: Images on a sheet that is not asked for more or fewer.
SHEET = 24

#: Images on a sheet at most: each is drawn apart.
MOST_IMAGES = 600


@dataclass(frozen=True, kw_only=True, slots=True)
class RunImage:
    """One image of a run's data."""

    image: int  #: its number in the run's data
    row: int  #: its index in the data set as the user's file has it
    label: int | float | list[float] | None  #: the data set's; of a target only on a sheet
    predicted: int | None  #: the label that it was taken for last; None if nothing was predicted
    loss: float | None  #: the last known one; None if none is
    iteration: int | None  #: of that loss
    mean_loss: float | None  #: over the iterations that are recorded in full
    iterations: int  #: how many of those computed it


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ContactSheet:
    """Images of a run as pictures, by default the hardest ones."""

    run_id: str
    label: str
    by: By | None  #: the loss that orders the images; None: they were named
    iteration: int | None  #: the only one whose losses are shown
    images: tuple[RunImage, ...]
    pixels: tuple[NDArray[np.uint8], ...]  #: of each (rows, columns) or (rows, columns, 3)

    def values(self) -> dict[str, Any]:
        """Return what is drawn, as JSON values, but for the pixels, which are the data set's."""
        return {
            "run_id": self.run_id,
            "by": self.by,
            "iteration": self.iteration,
            "images": [as_values(one) for one in self.images],
        }


def as_values(image: RunImage) -> dict[str, Any]:
    """The image's values by name."""
    return {name: getattr(image, name) for name in RunImage.__dataclass_fields__}


def check_order(by: By | None, iteration: int | None) -> None:
    """Raise `UsageError` for the mean over the iterations and one of them alone."""
    if by is By.MEAN and iteration is not None:
        raise UsageError(
            "The mean is over all iterations, an iteration is one; leave out one of them. "
            f"Received: by={by} iteration={iteration}"
        )


def find_images(
    history: History,
    run: RunRecord,
    numbers: Sequence[int] | None = None,
    *,
    by: By = By.LAST,
    limit: int = SHEET,
    iteration: int | None = None,
) -> list[RunImage]:
    """The images with these numbers in their order, or the hardest of all, at most `limit`.

    With an iteration only its losses count, else all that the run's own iterations recorded. Reads
    no data set. Raises storage's `ImageNotFound` and `IterationNotRecorded`.
    """
    losses = read_losses(history, run, iteration)
    for number in numbers or ():
        if not 0 <= number < len(losses.last):
            raise ImageNotFound(run.id, len(losses.last), number)
    chosen = losses.rank(by)[:limit].tolist() if numbers is None else list(numbers)
    return describe_images(history, run, losses, chosen)


def read_losses(history: History, run: RunRecord, iteration: int | None) -> ImageLosses:
    """The losses in this iteration, or in all of its own that the run recorded in full.

    Raises storage's `IterationNotRecorded`.
    """
    losses = read_image_losses(history, run, None if iteration is None else [iteration])
    if iteration is not None and not losses.counts.any():
        raise IterationNotRecorded(run.id, iteration, history.list_recorded_iterations(run.id))
    return losses


def describe_images(
    history: History, run: RunRecord, losses: ImageLosses, numbers: Sequence[int]
) -> list[RunImage]:
    """Return the images with these numbers, as far as they are stored."""
    classes = settings_of(run)["classes"] or ()
    labels, rows = read_labels(history.database, run.id), read_rows(history.database, run.id)
    return [
        RunImage(
            image=number,
            row=row_of(rows, number),
            label=_class(classes, -1 if labels is None else labels[number]),
            predicted=_class(classes, int(losses.predicted[number])),
            loss=_known(losses.last[number]),
            iteration=int(losses.iterations[number]) if losses.counts[number] else None,
            mean_loss=_known(losses.means[number]),
            iterations=int(losses.counts[number]),
        )
        for number in numbers
    ]


def _class(classes: Sequence[int], index: int) -> int | None:
    """The data set's label of an index into the run's classes; None for an index of none."""
    return classes[index] if 0 <= index < len(classes) else None


def _known(loss: np.floating) -> float | None:
    return None if np.isnan(loss) else float(loss)


def contact_sheet(
    run: RunRecord, images: Sequence[RunImage], *, by: By | None, iteration: int | None = None
) -> ContactSheet:
    """These images of the run as pictures, with what they were found by.

    Reads the run's data set. Raises model's `DatasetError` where it is not at hand, scheduler's
    `CannotContinueHere` where it holds other images than the run was trained on, `UsageError` where
    its images are no pictures.
    """
    data = read_pictures(run)
    return ContactSheet(
        run_id=run.id,
        label=picture_labels([run])[0],
        by=by,
        iteration=iteration,
        images=tuple(replace(one, label=_label(data, one.image)) for one in images),
        pixels=tuple(pixels_of(data.training.images[one.image]) for one in images),
    )


def _label(data: Split, number: int) -> Any:
    """The data set's label; a target as it is."""
    label = data.training.labels[number]
    return data.classes[label] if data.classes else label.tolist()


def read_pictures(run: RunRecord) -> Split:
    """The data that the run was trained on, whose images are pictures; raises as above."""
    from tapeworks.model import datasets  # here: other pictures need no data set
    from tapeworks.model.config import restore_config
    from tapeworks.scheduler.driving.driver import check_images, images_digest

    data = datasets.load(restore_config(run.configuration))
    check_images(run, images_digest(data))
    check_pictures(data.training.images.shape[1:])
    return data


def check_pictures(shape: tuple[int, ...]) -> None:
    """Raise `UsageError` for a shape that no picture has."""
    if not (len(shape) == 2 or (len(shape) == 3 and shape[2] in {1, 3})):
        raise UsageError(
            f"Images of shape {shape} cannot be shown; expected (rows, columns), (rows, columns, 1)"
            " or (rows, columns, 3). Draw another kind."
        )


def pixels_of(image: NDArray[Any]) -> NDArray[np.uint8]:
    """An image as it is shown; floats are of 0 to 1, or else scaled to their own range."""
    picture = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    if picture.dtype == np.uint8:
        return picture
    low, high = min(float(picture.min()), 0.0), max(float(picture.max()), 1.0)
    if (low, high) != (0.0, 1.0):
        low, high = float(picture.min()), float(picture.max())
    scaled = (picture.astype(np.float64) - low) / ((high - low) or 1.0)
    return np.rint(255 * scaled).astype(np.uint8)
