"""The images with the highest loss in an iteration, with what they are and were taken for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.comparison.texts import picture_labels
from tapeworks.storage.history import History
from tapeworks.storage.records import ImageValues, RunRecord

#: Images on a sheet.
SHEET = 24


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HardImage:
    """One image on the sheet."""

    image: int  #: its number in the run's data
    label: int  #: the data set's label
    predicted: int  #: the label that it was taken for
    loss: float
    pixels: NDArray[np.uint8]  #: (image_side, image_side)


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
    `CannotContinueHere` where it holds other images than the run was trained on, and storage's
    `IterationNotRecorded`.
    """
    from tapeworks.model import datasets  # here: other pictures need no data set
    from tapeworks.model.config import restore_config
    from tapeworks.scheduler.driving.driver import check_images, images_digest

    chosen = iteration
    if chosen is None:
        chosen = max(history.list_recorded_iterations(run.id), default=run.completed_iterations - 1)
    values = history.image_values(run.id, chosen)
    config = restore_config(run.configuration)
    data = datasets.load(config)
    check_images(run, images_digest(data))
    places = hardest_places(values)
    losses = np.frombuffer(values.losses, "<f4")
    training = data.training
    return ContactSheet(
        run_id=run.id,
        label=picture_labels([run])[0],
        iteration=chosen,
        images=tuple(
            HardImage(
                image=number,
                label=config.classes[training.labels[number]],
                predicted=config.classes[values.predictions[place]],
                loss=float(losses[place]),
                pixels=training.images[number],
            )
            for place, number in places
        ),
    )


def hardest_places(values: ImageValues) -> list[tuple[int, int]]:
    """Places in the image set and numbers in the data of a sheet's images, highest loss first."""
    losses = np.frombuffer(values.losses, "<f4")
    places = np.argsort(-losses, kind="stable")[:SHEET].tolist()
    if values.image_numbers is None:
        return [(place, place) for place in places]
    numbers = np.frombuffer(values.image_numbers, "<i4")
    return [(place, int(numbers[place])) for place in places]
