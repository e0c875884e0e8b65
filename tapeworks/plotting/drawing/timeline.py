"""Draws which worker computed when."""

from __future__ import annotations

from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tapeworks.cli.outputs.describe import duration_text
from tapeworks.cli.outputs.printing import visible
from tapeworks.comparison.texts import shorten
from tapeworks.plotting.style import COLOURS, bare, plain
from tapeworks.plotting.timeline import Timeline

#: Inches: of the picture's width, of all but the rows, of a row, and of all rows at most.
WIDTH, FRAME, ROW, ROWS = 9.0, 1.3, 0.32, 10.0

#: Iterations up to which a line shows where each begins.
FEW_ITERATIONS = 100

#: Part of the picture's width from which on a usual bar has an edge of its own.
WIDE_BAR = 0.004

#: Cuts up to which it is told how long each pause was.
FEW_CUTS = 5

#: Workers' names that stand below each other at most.
MOST_NAMES = 70

#: By whether it was the shard's first sending.
NAMES = {True: "first attempt", False: "later attempt"}
COLOUR = {True: COLOURS[0], False: COLOURS[1]}


def draw_timeline(shown: Timeline) -> Figure:
    """A row for each worker, a bar for each answer that was counted."""
    rows = len(shown.workers)
    height = FRAME + min(ROW * max(rows, 3), ROWS)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    for first in (True, False):
        _bars(axes, shown, first=first)
    _iterations(axes, shown)
    _cuts(axes, shown)
    named = range(0, rows, -(-rows // MOST_NAMES))
    axes.set_yticks(
        named, labels=[shorten(visible(shown.workers[row])) for row in named], fontsize=8
    )
    for text in axes.get_yticklabels():
        plain(text)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_xlabel(
        f"Seconds since iteration {shown.iterations[0]} began{_describe_omitted(shown)}"
    )
    axes.margins(x=0.01)
    bare(axes)
    plain(axes.set_title(_title(shown), loc="left", pad=18 if shown.cuts else 6))
    _legend(axes, shown)
    return figure


def _bars(axes: Axes, shown: Timeline, *, first: bool) -> None:
    bars = [bar for bar in shown.bars if (bar.attempt == 1) is first]
    axes.barh(
        [bar.worker for bar in bars],
        [bar.seconds for bar in bars],
        left=[bar.begin for bar in bars],
        height=0.7,
        color=COLOUR[first],
        edgecolor="white",
        linewidth=0.5 if _are_wide(shown) else 0,
        snap=False,  # else a bar narrower than a dot is as wide as one, or is not there
    )


def _are_wide(shown: Timeline) -> bool:
    width = max(bar.begin + bar.seconds for bar in shown.bars)
    return median(bar.seconds for bar in shown.bars) >= WIDE_BAR * width


def _iterations(axes: Axes, shown: Timeline) -> None:
    if len(shown.begins) <= FEW_ITERATIONS:
        for begin in shown.begins:
            axes.axvline(begin, color="0.75", linewidth=0.6, zorder=0)


def _cuts(axes: Axes, shown: Timeline) -> None:
    for cut in shown.cuts:
        axes.axvline(cut.at, color="black", linewidth=1, linestyle=":")
        axes.annotate(
            f"{duration_text(cut.seconds, digits=1)} later" if len(shown.cuts) <= FEW_CUTS else "",
            (cut.at, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, 2),
            textcoords="offset points",
            fontsize=8,
        )


def _describe_omitted(shown: Timeline) -> str:
    """The end of the axis' label: what the picture does not show."""
    if shown.left_out:
        return f"; the times of {shown.left_out} iterations were not stored"
    return ", without long pauses" if shown.cuts else ""


def _title(shown: Timeline) -> str:
    first, last = shown.iterations[0], shown.iterations[-1]
    if first == last:
        return f"{shown.label}, iteration {first}"
    return f"{shown.label}, iterations {first} to {last}"


def _legend(axes: Axes, shown: Timeline) -> None:
    there = [first for first in (True, False) if any((b.attempt == 1) is first for b in shown.bars)]
    axes.legend(
        [Patch(color=COLOUR[first]) for first in there],
        [NAMES[first] for first in there],
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=2,
        fontsize="small",
        frameon=False,
    )
