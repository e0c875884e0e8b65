"""The kinds of pictures: what each of them takes and what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from tapeworks.cli.destinations import is_stream
from tapeworks.errors import UsageError
from tapeworks.plotting.curves import Curves, Measure, curves
from tapeworks.plotting.hardest import ContactSheet, contact_sheet
from tapeworks.plotting.heat_map import HeatMap, heat_map
from tapeworks.plotting.own_style import own_style
from tapeworks.plotting.timeline import Timeline, timeline
from tapeworks.storage.errors import IterationNotFound
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord

#: Formats by the file's ending.
FORMATS = {".png": "png", ".svg": "svg", ".pdf": "pdf"}

#: Everything that can be drawn.
Content = Curves | HeatMap | Timeline | ContactSheet


class Kind(StrEnum):
    """The kinds of pictures."""

    LOSS = "loss"  #: over the iterations, of one or several runs
    ACCURACY = "accuracy"  #: likewise
    GRADIENT_NORM = "gradient-norm"  #: likewise
    IMAGES = "images"  #: each image's loss over the iterations
    TIMELINE = "timeline"  #: which worker computed when
    HARDEST = "hardest"  #: the images with the highest loss in an iteration

    @property
    def measure(self) -> Measure | None:
        """The measure of a picture of curves; None of the other kinds, which are of one run."""
        return MEASURES.get(self)


MEASURES = {
    Kind.LOSS: Measure.LOSS,
    Kind.ACCURACY: Measure.ACCURACY,
    Kind.GRADIENT_NORM: Measure.GRADIENT_NORM,
}

#: Kinds that can show one iteration.
OF_AN_ITERATION = (Kind.TIMELINE, Kind.HARDEST)


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


def check_call(kind: Kind, runs: int, iteration: int | None) -> None:
    """Raise `UsageError` if this kind cannot show so many runs, or no single iteration."""
    if kind.measure is None and runs > 1:
        raise UsageError(
            f"A picture of the kind {kind} shows one run; draw one for each. Received: {runs} runs."
        )
    if iteration is not None and kind not in OF_AN_ITERATION:
        raise UsageError(
            f"--iteration is for the kinds {' and '.join(OF_AN_ITERATION)}. Received: --kind {kind}"
        )


def content(
    kind: Kind, history: History, runs: Sequence[RunRecord], iteration: int | None = None
) -> Content:
    """Return what a picture of these runs shows. Raises `UsageError` for one without iterations."""
    check_call(kind, len(runs), iteration)
    for run in runs:
        _check_iterations(run, iteration)
    if kind.measure is not None:
        return curves(history, runs, kind.measure)
    [run] = runs
    if kind is Kind.IMAGES:
        return heat_map(history, run)
    if kind is Kind.TIMELINE:
        return timeline(history, run, iteration)
    return contact_sheet(history, run, iteration)


def picture(shown: Content, picture_format: str) -> bytes:
    """The drawn picture as a file's content."""
    with own_style():
        from tapeworks.plotting.drawing.pictures import draw, render  # matplotlib is slow to load

        return render(draw(shown), picture_format)


def _check_iterations(run: RunRecord, iteration: int | None) -> None:
    begun = run.first_iteration
    if run.completed_iterations <= begun:
        raise UsageError(f"Run {run.id} has no iteration to draw yet; it is {run.status.value}.")
    if iteration is not None and not begun <= iteration < run.completed_iterations:
        raise IterationNotFound(run.id, iteration)
