"""Draws curves over the iterations."""

from __future__ import annotations

from collections import Counter
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from tapeworks.plotting.curves import Curves, Line, Measure
from tapeworks.plotting.style import COLOURS, DASHES, GRID, bare, logarithmic, plain, whole_numbers

#: Inches of the axes; the legend stands beside them.
WIDTH, HEIGHT = 7.0, 4.5

#: Inches of a legend's letter, and of all else in its line.
LETTER, SAMPLE = 0.075, 0.7

#: Lines of a legend's column.
LEGEND_LINES = 20

#: Evaluations of a run up to which their circles are large.
FEW_EVALUATIONS = 30


def draw_curves(curves: Curves) -> Figure:
    """A line for each run, its evaluations as circles of its colour."""
    figure = Figure(figsize=(WIDTH + _legend_width(curves), HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    styles = _styles(curves.lines)
    handles = [_draw(axes, line, *style) for line, style in zip(curves.lines, styles, strict=True)]
    bare(axes)
    _axes(axes, curves)
    if any(line.evaluated for line in curves.lines):
        handles.append(_circles([], [], "0.4", few=True))
    if len(curves.lines) > 1:
        _legend_beside(figure, curves, handles)
    else:
        plain(axes.set_title(curves.lines[0].label, loc="left"))
        if len(handles) > 1:
            axes.legend(handles, ["training images", "held-out images"], frameon=False)
    return figure


def _styles(lines: tuple[Line, ...]) -> list[tuple[str, Any]]:
    """A colour and dashes for each; a line over an equal one has others, to let it be seen."""
    drawn: Counter[tuple[float, ...]] = Counter()
    styles: list[tuple[str, Any]] = []
    for index, line in enumerate(lines):
        colour = COLOURS[index % len(COLOURS)]
        first = index // len(COLOURS) + drawn[line.values]
        choice = [(colour, DASHES[(first + more) % len(DASHES)]) for more in range(len(DASHES))]
        styles.append(next((style for style in choice if style not in styles), choice[0]))
        drawn[line.values] += 1
    return styles


def _draw(axes: Axes, line: Line, colour: str, dashes: Any) -> Line2D:
    alone = "." if len(line.values) == 1 else None
    [handle] = axes.plot(
        line.iterations, line.values, color=colour, linestyle=dashes, linewidth=1.6, marker=alone
    )
    few = len(line.evaluated) <= FEW_EVALUATIONS
    axes.add_line(_circles(line.evaluated_after, line.evaluated, colour, few=few))
    return handle


def _circles(places: Any, values: Any, colour: str, *, few: bool) -> Line2D:
    return Line2D(
        places,
        values,
        linestyle="none",
        marker="o",
        markersize=6 if few else 3,
        markerfacecolor="white",
        markeredgecolor=colour,
        markeredgewidth=1.4 if few else 0.8,
        zorder=3,
    )


def _axes(axes: Axes, curves: Curves) -> None:
    axes.set_xlabel("Iteration")
    whole_numbers(axes.xaxis)
    axes.grid(color=GRID)
    axes.set_ylabel(_what(curves))
    axes.autoscale_view()
    if curves.measure is Measure.ACCURACY:
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    elif curves.is_logarithmic:
        axes.set_yscale("log")
        logarithmic(axes.yaxis, *axes.get_ylim())
    else:
        axes.set_ylim(bottom=0)


def _what(curves: Curves) -> str:
    if curves.measure is Measure.ACCURACY:
        return "Accuracy"
    if curves.measure is Measure.GRADIENT_NORM:
        return "Norm of the mean gradient"
    return "Loss per image" if curves.images == 1 else f"Loss per {curves.images:,} images"


def _legend_beside(figure: Figure, curves: Curves, handles: list[Line2D]) -> None:
    labels = [line.label for line in curves.lines] + ["held-out images"]
    legend = figure.legend(
        handles,
        labels[: len(handles)],
        loc="outside right upper",
        ncols=_legend_columns(curves),
        fontsize="small",
        frameon=False,
    )
    for text in legend.get_texts():
        plain(text)


def _legend_columns(curves: Curves) -> int:
    return -(-(len(curves.lines) + 1) // LEGEND_LINES)


def _legend_width(curves: Curves) -> float:
    if len(curves.lines) == 1:
        return 0.0
    longest = max(len(line.label) for line in curves.lines)
    return _legend_columns(curves) * (SAMPLE + longest * LETTER)
