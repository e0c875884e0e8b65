"""Draws each image's loss over the iterations."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from tapeworks.plotting.heat_map import HeatMap, Losses
from tapeworks.plotting.image_losses import By
from tapeworks.plotting.style import logarithmic, plain, whole_numbers

#: Inches.
WIDTH, HEIGHT = 8.0, 5.0

#: Rows up to which each has its image's number beside it.
NUMBERED_ROWS = 60

#: Before an image was first computed.
ABSENT = "0.92"

#: Losses below so much of the highest one share its darkest colour.
SMALLEST_SHARE = 1e-6


def draw_heat_map(shown: HeatMap) -> Figure:
    """The hardest image on top; colours by the logarithm of the loss."""
    few = len(shown.losses) <= NUMBERED_ROWS
    height = max(HEIGHT, 1.0 + 0.11 * len(shown.losses)) if few else HEIGHT
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor(ABSENT)
    distance = shown.iterations.step
    image = axes.imshow(
        np.ma.masked_invalid(shown.losses),
        aspect="auto",
        cmap="viridis",
        norm=_scale(shown.losses),
        interpolation="nearest",
        extent=(
            shown.iterations[0] - distance / 2,
            shown.iterations[-1] + distance / 2,
            len(shown.images) + 0.5,
            0.5,
        ),
    )
    bar = figure.colorbar(image, label=_what(shown), pad=0.02)
    logarithmic(bar.ax.yaxis, *image.get_clim())
    axes.set_xlabel("Iteration" if distance == 1 else f"Iteration (one of {distance} is drawn)")
    whole_numbers(axes.xaxis)
    _rows(axes, shown, numbered=few)
    plain(axes.set_title(shown.label, loc="left"))
    return figure


def _what(shown: HeatMap) -> str:
    return "Last known loss of the image" if shown.is_last_known else "Loss of the image"


def _rows(axes: Axes, shown: HeatMap, *, numbered: bool) -> None:
    last = "last known loss" if shown.is_last_known else f"loss in iteration {shown.iterations[-1]}"
    if shown.by is By.MEAN:
        last = "mean loss"
    if numbered:
        places = range(1, len(shown.images) + 1)
        axes.set_yticks(places, labels=list(map(str, shown.images)), fontsize=7)
        axes.set_ylabel(f"Image, the highest {last} on top")
    else:
        whole_numbers(axes.yaxis)
        axes.set_ylabel(f"Images in the order of their {last}")


def _scale(losses: Losses) -> Normalize:
    known = losses[~np.isnan(losses)]
    highest = float(known.max()) or 1.0
    lowest: float = max(float(known.min()), highest * SMALLEST_SHARE)
    return LogNorm(lowest, highest if highest > lowest else lowest * 1.01, clip=True)
