"""Loss curves: what is drawn, apart from the drawing."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.history import History
from storage.records import RunRecord
from tapeworks.errors import UsageError

#: Formats by the file's ending.
FORMATS = {".png": "png", ".svg": "svg"}

#: Dots per inch of a PNG.
RESOLUTION = 150


@dataclass(frozen=True, kw_only=True, slots=True)
class LossCurve:
    """One run's line in the picture."""

    label: str
    iterations: tuple[int, ...]
    losses: tuple[float, ...]  #: summed over the iteration's images


def plot_format(path: Path) -> str:
    """The format of this file. Raises `UsageError` for an ending that is none."""
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise UsageError(f"Expected a file ending in .png or .svg. Received: {path}.") from None


def loss_curve(history: History, run: RunRecord) -> LossCurve:
    """A run's loss history. Raises `UsageError` when it has none yet."""
    records = history.iterations(run.id)
    if not records:
        raise UsageError(f"Run {run.id} has no iteration to draw yet; it is {run.status.value}.")
    return LossCurve(
        label=f"{run.name} ({run.id})" if run.name else run.id,
        iterations=tuple(record.iteration for record in records),
        losses=tuple(record.loss for record in records),
    )


def draw_loss(curves: Sequence[LossCurve], picture_format: str) -> bytes:
    """The picture of one or several loss curves."""
    from matplotlib.figure import Figure  # slow to load, and needs no display this way
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for curve in curves:
        alone = "o" if len(curve.losses) == 1 else None
        axes.plot(curve.iterations, curve.losses, label=curve.label, marker=alone)
    axes.set_xlabel("Iteration")
    axes.set_ylabel("Loss")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format=picture_format, dpi=RESOLUTION)
    return picture.getvalue()
