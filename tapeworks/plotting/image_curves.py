"""Single images' losses over the iterations, as curves and as rows."""

from __future__ import annotations

from collections.abc import Sequence

from tapeworks.comparison.runs import settings_of
from tapeworks.comparison.texts import picture_labels
from tapeworks.plotting.curves import Curves, Line, Measure, is_logarithmic
from tapeworks.plotting.heat_map import ImageLoss, image_course
from tapeworks.storage.errors import ImageNotFound
from tapeworks.storage.history import History
from tapeworks.storage.queries.listing import Listing
from tapeworks.storage.records import RunRecord


def image_curves(history: History, run: RunRecord, numbers: Sequence[int]) -> Curves:
    """A line for each of the images with these numbers. Raises `ImageNotFound`."""
    [label] = picture_labels([run])
    courses = {number: read_course(history, run, number) for number in numbers}
    lines = tuple(
        Line(
            run_id=run.id,
            label=f"{label}, image {number}",
            iterations=tuple(one.iteration for one in course),
            values=tuple(one.loss for one in course),
            evaluated_after=(),
            evaluated=(),
        )
        for number, course in courses.items()
    )
    logarithmic = is_logarithmic(Measure.LOSS, lines)
    return Curves(measure=Measure.LOSS, lines=lines, images=1, is_logarithmic=logarithmic)


def list_losses(history: History, run: RunRecord, numbers: Sequence[int]) -> Listing:
    """A row for each of these images in each recorded iteration. Raises `ImageNotFound`."""
    classes = settings_of(run)["classes"] or ()
    rows = [
        (number, one.iteration, classes[one.predicted[0]] if one.predicted else None, one.loss)
        for number in numbers
        for one in read_course(history, run, number)
    ]
    return Listing(columns=("image", "iteration", "predicted", "loss"), rows=tuple(rows))


def read_course(history: History, run: RunRecord, number: int) -> list[ImageLoss]:
    """All recorded losses of the image. Raises `ImageNotFound`."""
    images = int(settings_of(run)["images"])
    if number >= images:
        raise ImageNotFound(run.id, images, number)
    return image_course(history, run, number, None).losses
