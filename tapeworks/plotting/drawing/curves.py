"""Draws curves over the iterations."""

from __future__ import annotations

from collections import Counter
from itertools import cycle
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from tapeworks.plotting.curves import Curves, Line, Measure
from tapeworks.plotting.style import (
    COLOURS,
    DASHES,
    GRID,
    MARKERS,
    bare,
    logarithmic,
    plain,
    whole_numbers,
)
from tapeworks.storage.records import sum_words

#: Inches of the axes; the legend stands beside them.
WIDTH, HEIGHT = 7.0, 4.5

#: Inches of a legend's letter, and of all else in its line.
LETTER, SAMPLE = 0.075, 0.7

#: Lines of a legend's column.
LEGEND_LINES = 20

#: Evaluations of a run up to which their points are large.
FEW_EVALUATIONS = 30

#: Points of a line with gaps up to which each is marked.
FEW_POINTS = 60

#: Of a line that stands behind another one of its run, and of a band.
PALE, PALER, BAND = 0.45, 0.2, 0.15

#: In a scale of colours for more values than there are colours; its end is too light on white.
SCALE, SCALE_END = "viridis", 0.9

Style = tuple[str, Any, str]


def draw_curves(curves: Curves) -> Figure:
    """A line for each run, and one of its colour through its evaluations, which have markers."""
    figure = Figure(figsize=(WIDTH + _legend_width(curves), HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    styles = _styles(curves)
    handles = [_draw(axes, line, *style) for line, style in zip(curves.lines, styles, strict=True)]
    bare(axes)
    _axes(axes, curves)
    if len(curves.lines) > 1:
        _legend_beside(figure, curves, handles)
    else:
        plain(axes.set_title(curves.lines[0].label, loc="left"))
        if kinds := _samples(curves):
            axes.legend(list(kinds.values()), list(kinds), frameon=False)
    if note := _describe(curves):
        figure.supxlabel(note, fontsize="small", color="0.35")
    return figure


def _samples(curves: Curves) -> dict[str, Line2D]:
    """Samples of both kinds of images, if there are both, by what the legend says of them."""
    line = curves.lines[0]
    if not line.evaluated:
        return {}
    colour, is_behind = COLOURS[0], _is_behind(line)
    held_out = _points([], [], colour, MARKERS[0], few=True)
    held_out.set(linestyle="solid" if is_behind else "none", color=colour, linewidth=1.6)
    training = Line2D([], [], color=colour, linewidth=1.6, alpha=PALE if is_behind else 1.0)
    return {_name_held_out(curves): held_out, "training images": training}


def _name_held_out(curves: Curves) -> str:
    """Call them scaled where their loss is drawn, which is stored as the sum over all of them."""
    is_sum = curves.images is not None and curves.images > 1
    return f"held-out images{f', scaled to {curves.images:,}' if is_sum else ''}"


def _is_behind(line: Line) -> bool:
    """Check that a line through evaluations is what the picture is about."""
    return len(line.evaluated) > 1


def _describe(curves: Curves) -> str:
    """The ways in which the lines were made that nobody sees in them."""
    parts = []
    if len(curves.lines) > 1 and any(line.evaluated for line in curves.lines):
        pale = "; paler: training images" if any(map(_is_behind, curves.lines)) else ""
        parts.append(f"with markers: {_name_held_out(curves)}{pale}")
    if curves.smooth:
        beside = f"{curves.smooth} on either side" if curves.smooth > 1 else "its neighbours"
        parts.append(f"training images: each iteration averaged with {beside}")
    if curves.mean_over:
        parts.append(f"mean over {curves.mean_over}, the band from the lowest run to the highest")
    return "\n".join(parts)


def _styles(curves: Curves) -> list[Style]:
    if curves.colours:
        colours = _colour_values(curves.colours)
        by_value = dict(zip(curves.colours, cycle(MARKERS), strict=False))
        chosen = [line.colour or "" for line in curves.lines]
        return [(colours[value], DASHES[0], by_value[value]) for value in chosen]
    return [
        (*style, marker) for style, marker in zip(_distinct_styles(curves.lines), cycle(MARKERS))
    ]


def _colour_values(values: tuple[str, ...]) -> dict[str, str]:
    """A colour for each; of many those of a scale, so that their order is seen."""
    if len(values) <= len(COLOURS):
        return dict(zip(values, COLOURS, strict=False))
    scale, last = colormaps[SCALE], len(values) - 1
    return {value: to_hex(scale(SCALE_END * at / last)) for at, value in enumerate(values)}


def _distinct_styles(lines: tuple[Line, ...]) -> list[tuple[str, Any]]:
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


def _draw(axes: Axes, line: Line, colour: str, dashes: Any, marker: str) -> Line2D:
    """The training images' line, behind that of held-out images; returns its sample."""
    style: dict[str, Any] = {"color": colour, "linestyle": dashes, "linewidth": 1.6}
    is_behind = _is_behind(line)
    alone = "." if _is_sparse(line) else None
    if line.low:
        axes.fill_between(line.iterations, line.low, line.high, color=colour, alpha=BAND, lw=0)
    if line.smoothed and not line.low:
        raw = PALER if is_behind else PALE
        axes.plot(line.iterations, line.values, color=colour, linewidth=0.8, alpha=raw)
    shown, alpha = line.smoothed or line.values, PALE if is_behind else 1.0
    axes.plot(line.iterations, shown, marker=alone, alpha=alpha, **style)
    if line.evaluated:
        _draw_evaluations(axes, line, style, marker)
    return _sample(line, style, marker)


def _sample(line: Line, style: dict[str, Any], marker: str) -> Line2D:
    """Return the look of a run in the legend: of its held-out images, or of its training ones."""
    sample = Line2D([], [], **style)
    if line.evaluated:
        points = _points([], [], style["color"], marker, few=True)
        sample.update_from(points)
        sample.set(**style)
    return sample


def _is_sparse(line: Line) -> bool:
    """Check that it has one point, or few that do not follow each other, each to be seen."""
    count = len(line.iterations)
    has_gaps = count > 1 and line.iterations[-1] - line.iterations[0] >= count
    return count == 1 or (has_gaps and count <= FEW_POINTS)


def _draw_evaluations(axes: Axes, line: Line, style: dict[str, Any], marker: str) -> None:
    few, colour = len(line.evaluated) <= FEW_EVALUATIONS, style["color"]
    places, values = line.evaluated_after, line.evaluated
    if line.evaluated_low:
        axes.vlines(places, line.evaluated_low, line.evaluated_high, color=colour, linewidth=1.0)
    axes.add_line(Line2D(places, values, zorder=3, **style))
    axes.add_line(_points(places, values, colour, marker, few=few))


def _points(places: Any, values: Any, colour: str, marker: str, *, few: bool) -> Line2D:
    return Line2D(
        places,
        values,
        linestyle="none",
        marker=marker,
        markersize=6 if few else 3,
        markerfacecolor="white",
        markeredgecolor=colour,
        markeredgewidth=1.4 if few else 0.8,
        zorder=3.5,
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
        return "Accuracy" if any(line.evaluated for line in curves.lines) else "Training accuracy"
    if curves.measure is Measure.GRADIENT_NORM:
        return "Norm of the mean gradient"
    images = curves.images or 1
    return f"Loss, {sum_words(images)}" if images > 1 else "Loss per image"


def _legend_beside(figure: Figure, curves: Curves, handles: list[Line2D]) -> None:
    labels = _labels(curves)
    if curves.colours:
        by_colour = {
            line.colour: handle for line, handle in zip(curves.lines, handles, strict=True)
        }
        handles = [by_colour[value] for value in labels]
    legend = figure.legend(
        handles,
        labels,
        loc="outside right upper",
        ncols=_legend_columns(curves),
        fontsize="small",
        frameon=False,
    )
    for text in legend.get_texts():
        plain(text)


def _labels(curves: Curves) -> list[str]:
    """The legend's lines."""
    return list(curves.colours) or [line.label for line in curves.lines]


def _legend_columns(curves: Curves) -> int:
    return -(-len(_labels(curves)) // LEGEND_LINES)


def _legend_width(curves: Curves) -> float:
    if len(curves.lines) == 1:
        return 0.0
    longest = max(map(len, _labels(curves)))
    return _legend_columns(curves) * (SAMPLE + longest * LETTER)
