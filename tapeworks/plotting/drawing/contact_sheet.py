"""Draws the images with the highest loss."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tapeworks.plotting.hardest import ContactSheet, RunImage
from tapeworks.plotting.image_losses import By
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
    tallest = max((pixels.shape[0] / pixels.shape[1] for pixels in sheet.pixels), default=1.0)
    size = (max(columns, 4) * CELL, rows * (CELL * min(tallest, 1.0) + WORDS) + TITLE)
    figure = Figure(figsize=size, layout="compressed")
    plain(figure.suptitle(f"{sheet.label}{_what(sheet)}", x=0.01, ha="left"))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(sheet.images) :]:
        axes.set_axis_off()
    for axes, image, pixels in zip(grid.flat, sheet.images, sheet.pixels, strict=False):
        _draw(axes, image, pixels, sheet.by)
    return figure


def _what(sheet: ContactSheet) -> str:
    if sheet.by is None:
        return ""
    mean = "mean " if sheet.by is By.MEAN else ""
    where = "" if sheet.iteration is None else f" in iteration {sheet.iteration}"
    return f": highest {mean}losses{where}"


def _draw(axes: Axes, image: RunImage, pixels: NDArray[np.uint8], by: By | None) -> None:
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    right = image.predicted is None or image.predicted == image.label
    words = "\n".join([_verdict(image), _loss(image, by), _place(image)])
    axes.set_xlabel(words, fontsize=8, color=RIGHT if right else WRONG)


def _verdict(image: RunImage) -> str:
    label = _label(image.label)
    return label if image.predicted is None else f"{label}, predicted {image.predicted}"


def _loss(image: RunImage, by: By | None) -> str:
    name, loss = ("mean", image.mean_loss) if by is By.MEAN else ("loss", image.loss)
    return f"{name} –" if loss is None else f"{name} {loss:#.3g}"


def _place(image: RunImage) -> str:
    return f"image {image.image}" + (f", row {image.row}" if image.row != image.image else "")


def _label(label: int | float | list[float] | None) -> str:
    if isinstance(label, list):
        return ", ".join(f"{number:.3g}" for number in label)
    return f"{label:.6g}" if isinstance(label, float) else f"{label}"
