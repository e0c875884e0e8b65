"""The kinds of pictures: what each of them takes and what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tapeworks.cli.outputs.destinations import is_stream
from tapeworks.errors import UsageError
from tapeworks.plotting.arranging import Arrangement
from tapeworks.plotting.curves import Curves, Measure, curves
from tapeworks.plotting.hardest import SHEET, ContactSheet, check_order, contact_sheet, find_images
from tapeworks.plotting.heat_map import HeatMap, heat_map
from tapeworks.plotting.image_curves import image_curves
from tapeworks.plotting.image_losses import By
from tapeworks.plotting.own_style import own_style
from tapeworks.plotting.timeline import Timeline, timeline
from tapeworks.storage.errors import IterationNotFound
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord

#: Formats by the file's ending.
FORMATS = {".png": "png", ".svg": "svg", ".pdf": "pdf"}

#: The runs of a picture, in its file where that is a PNG: their ids, with spaces between.
RUNS_KEY = "Tapeworks runs"

#: Everything that can be drawn.
Content = Curves | HeatMap | Timeline | ContactSheet


class Kind(StrEnum):
    """The kinds of pictures."""

    LOSS = "loss"  #: over the iterations, of one or several runs
    ACCURACY = "accuracy"  #: likewise
    GRADIENT_NORM = "gradient-norm"  #: likewise
    IMAGES = "images"  #: each image's loss over the iterations
    TIMELINE = "timeline"  #: which worker computed when
    HARDEST = "hardest"  #: the images with the highest loss, as pictures

    @property
    def measure(self) -> Measure | None:
        """The measure of a picture of curves; None of the other kinds, which are of one run."""
        return MEASURES.get(self)


MEASURES = {
    Kind.LOSS: Measure.LOSS,
    Kind.ACCURACY: Measure.ACCURACY,
    Kind.GRADIENT_NORM: Measure.GRADIENT_NORM,
}

#: The kinds that take what is not for all of them.
OF_KINDS = {
    "iteration": (Kind.TIMELINE, Kind.HARDEST),
    "by": (Kind.IMAGES, Kind.HARDEST),
    "limit": (Kind.HARDEST,),
    "images": (Kind.IMAGES,),
    **dict.fromkeys(("color_by", "mean_over", "smooth"), tuple(MEASURES)),
}


#: Options that are called otherwise.
OPTIONS = {"images": "image"}


def picture_format(path: Path) -> str:
    """The format of this file, PNG for a device or a pipe without an ending.

    Raises `UsageError` for an ending that is none.
    """
    if not path.suffix and is_stream(path):
        return FORMATS[".png"]
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        expected = "Expected a file ending in .png, .svg or .pdf."
        raise UsageError(f"{expected} Received: {path}.") from None


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A picture as it is asked for; None leaves what it is of to its kind."""

    kind: Kind = Kind.LOSS
    iteration: int | None = None  #: the only one that is shown
    by: By | None = None  #: the loss that orders images
    limit: int | None = None  #: images on a sheet
    images: tuple[int, ...] | None = None  #: the only ones, a line for each
    color_by: str | None = None  #: as in `Arrangement`
    mean_over: str | None = None
    smooth: int | None = None
    title: str | None = None  #: instead of the one that the picture has by itself

    def check(self, runs: int) -> None:
        """Raise `UsageError` if no picture of this kind, of so many runs, is like that."""
        if self.kind.measure is None and runs > 1:
            raise UsageError(
                f"A picture of the kind {self.kind} shows one run; draw one for each. "
                f"Received: {runs} runs."
            )
        for name, kinds in OF_KINDS.items():
            if getattr(self, name) is not None and self.kind not in kinds:
                option, plural = (
                    f"--{OPTIONS.get(name, name.replace('_', '-'))}",
                    "s" * (len(kinds) > 1),
                )
                raise UsageError(
                    f"{option} is for the kind{plural} {_list(kinds)}. Received: --kind {self.kind}"
                )
        check_order(self.by, self.iteration)
        if self.images is not None and self.by is not None:
            raise UsageError("--image names the images; leave out --by.")


def content(history: History, runs: Sequence[RunRecord], wanted: Wanted) -> Content:
    """Return what a picture of these runs shows. Raises `UsageError` for one without iterations."""
    wanted.check(len(runs))
    for run in runs:
        check_iterations(run, wanted.iteration)
    if wanted.kind.measure is not None:
        arrangement = Arrangement(
            color_by=wanted.color_by, mean_over=wanted.mean_over, smooth=wanted.smooth
        )
        return curves(history, runs, wanted.kind.measure, arrangement)
    [run], by = runs, wanted.by or By.LAST
    if wanted.images is not None:
        return image_curves(history, run, wanted.images)
    if wanted.kind is Kind.IMAGES:
        return heat_map(history, run, by)
    if wanted.kind is Kind.TIMELINE:
        return timeline(history, run, wanted.iteration)
    limit = wanted.limit or SHEET
    images = find_images(history, run, by=by, limit=limit, iteration=wanted.iteration)
    return contact_sheet(run, images, by=by, iteration=wanted.iteration)


def _list(kinds: Sequence[Kind]) -> str:
    return " and ".join([", ".join(kinds[:-1]), kinds[-1]] if kinds[1:] else kinds)


def picture(shown: Content, picture_format: str, title: str | None = None) -> bytes:
    """The drawn picture as a file's content, with this title if it is not to have its own."""
    with own_style():
        from tapeworks.plotting.drawing.pictures import draw, render  # matplotlib is slow to load

        notes = {RUNS_KEY: " ".join(list_runs(shown))} if picture_format == FORMATS[".png"] else {}
        return render(draw(shown, title), picture_format, notes)


def list_runs(shown: Content) -> list[str]:
    """The ids of the runs that the picture shows."""
    if isinstance(shown, Curves):
        return [run for line in shown.lines for run in line.runs or (line.run_id,)]
    return [shown.run_id]


def check_iterations(run: RunRecord, iteration: int | None) -> None:
    """Raise for a run without any, or without this one: `UsageError`, `IterationNotFound`."""
    begun = run.first_iteration
    if run.completed_iterations <= begun:
        raise UsageError(f"Run {run.id} has no iteration yet; it is {run.status.value}.")
    if iteration is not None and not begun <= iteration < run.completed_iterations:
        raise IterationNotFound(run, iteration)
