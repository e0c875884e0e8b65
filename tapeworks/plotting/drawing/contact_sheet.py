"""Draws the images with the highest loss."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tapeworks.plotting.hardest import ContactSheet, HardImage
from tapeworks.plotting.style import COLOURS, plain

#: Images in a row of the sheet.
ROW = 6

#: Inches of an image with the words below it, and of the title.
CELL, WORDS, TITLE = 1.25, 0.5, 0.4

#: Of the words below an image that was taken for what it is, and for something else.
RIGHT, WRONG = "black", COLOURS[1]


def draw_contact_sheet(sheet: ContactSheet) -> Figure:
    """The highest loss first, line by line."""
    columns = min(ROW, len(sheet.images))
    rows = -(-len(sheet.images) // ROW)
    size = (max(columns, 4) * CELL, rows * (CELL + WORDS) + TITLE)
    figure = Figure(figsize=size, layout="constrained")
    title = f"{sheet.label}: highest losses in iteration {sheet.iteration}"
    plain(figure.suptitle(title, x=0.01, ha="left"))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(sheet.images) :]:
        axes.set_axis_off()
    for axes, image in zip(grid.flat, sheet.images, strict=False):
        _draw(axes, image)
    return figure


def _draw(axes: Axes, image: HardImage) -> None:
    axes.imshow(image.pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    right = image.predicted is None or image.predicted == image.label
    verdict = _label(image.label) if right else f"{image.label}, taken for {image.predicted}"
    words = f"{verdict}\nloss {image.loss:#.3g}\nimage {image.image}"
    axes.set_xlabel(words, fontsize=8, color=RIGHT if right else WRONG)


def _label(label: int | float | list[float]) -> str:
    if isinstance(label, list):
        return ", ".join(f"{number:.3g}" for number in label)
    return f"{label:.6g}" if isinstance(label, float) else f"{label}"
