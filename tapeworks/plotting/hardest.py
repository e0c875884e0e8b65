"""The images with the highest loss in an iteration, with what they are and were taken for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.comparison.texts import picture_labels
from tapeworks.errors import UsageError
from tapeworks.storage.history import History
from tapeworks.storage.records import ImageValues, RunRecord

if TYPE_CHECKING:
    from tapeworks.model.datasets.source import Split

#: Images on a sheet.
SHEET = 24


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HardImage:
    """One image on the sheet."""

    image: int  #: its number in the run's data
    label: int | float | list[float]  #: the data set's label, or its target
    predicted: int | None  #: the label that it was taken for; None if the network predicts nothing
    loss: float
    pixels: NDArray[np.uint8]  #: (rows, columns) or (rows, columns, 3)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ContactSheet:
    """The hardest images of one iteration."""

    run_id: str
    label: str
    iteration: int
    images: tuple[HardImage, ...]  #: the highest loss first

    def values(self) -> dict[str, Any]:
        """Return what is drawn, as JSON values, but for the pixels, which are the data set's."""
        names = ("image", "label", "predicted", "loss")
        return {
            "run_id": self.run_id,
            "iteration": self.iteration,
            "images": [{name: getattr(one, name) for name in names} for one in self.images],
        }


def contact_sheet(history: History, run: RunRecord, iteration: int | None = None) -> ContactSheet:
    """The sheet of this iteration, or of the last one that was recorded in full.

    Reads the run's data set. Raises model's `DatasetError` where it is not at hand, scheduler's
    `CannotContinueHere` where it holds other images than the run was trained on, `UsageError` where
    its images are no pictures, and storage's `IterationNotRecorded`.
    """
    chosen = iteration
    if chosen is None:
        chosen = max(history.list_recorded_iterations(run.id), default=run.completed_iterations - 1)
    values = history.image_values(run.id, chosen)
    data = read_pictures(run)
    training = data.training
    places = hardest_places(values)
    losses = np.frombuffer(values.losses, "<f4")
    return ContactSheet(
        run_id=run.id,
        label=picture_labels([run])[0],
        iteration=chosen,
        images=tuple(
            HardImage(
                image=number,
                label=_label(data.classes, training.labels[number]),
                predicted=_predicted(data.classes, values, place),
                loss=float(losses[place]),
                pixels=pixels_of(training.images[number]),
            )
            for place, number in places
        ),
    )


def read_pictures(run: RunRecord) -> Split:
    """The data that the run was trained on, whose images are pictures; raises as above."""
    from tapeworks.model import datasets  # here: other pictures need no data set
    from tapeworks.model.config import restore_config
    from tapeworks.scheduler.driving.driver import check_images, images_digest

    data = datasets.load(restore_config(run.configuration))
    check_images(run, images_digest(data))
    check_pictures(data.training.images.shape[1:])
    return data


def _label(classes: Sequence[int], label: Any) -> Any:
    """The data set's label of an index into the run's classes; a target as it is."""
    return classes[label] if classes else label.tolist()


def _predicted(classes: Sequence[int], values: ImageValues, place: int) -> int | None:
    if values.predictions is None or not classes:
        return None
    return classes[values.predictions[place]]


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


def hardest_places(values: ImageValues) -> list[tuple[int, int]]:
    """Places in the image set and numbers in the data of a sheet's images, highest loss first."""
    losses = np.frombuffer(values.losses, "<f4")
    places = np.argsort(-losses, kind="stable")[:SHEET].tolist()
    if values.image_numbers is None:
        return [(place, place) for place in places]
    numbers = np.frombuffer(values.image_numbers, "<i4")
    return [(place, int(numbers[place])) for place in places]
