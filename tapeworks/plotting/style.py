"""The common style of the drawings: colours, and plain axes."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from tapeworks.cli.outputs.printing import visible

#: Of Okabe and Ito, without yellow: told apart by nearly everybody, and on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

#: How a line is drawn when its colour is taken.
DASHES = ("solid", (0, (5, 2)), (0, (1, 1)), (0, (6, 2, 1, 2)), (0, (9, 2, 1, 1, 1, 2)))

#: The points of held-out images, by the place of their run.
MARKERS = ("o", "s", "^", "D", "v")

GRID = "0.9"


def bare(axes: Axes) -> None:
    """Leave the frame's left and lower side."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


def plain(text: Text) -> Text:
    """Shown as it is and on one line: a dollar sign in a name begins no formula."""
    text.set_text(visible(text.get_text()))
    text.set_parse_math(False)
    return text


def logarithmic(axis: Axis, lowest: float, highest: float) -> None:
    """Ticks at 1, 2 and 5 times powers of ten, or closer ones within a decade, in plain numbers."""
    wide = highest >= 10 * lowest
    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12) if wide else MaxNLocator(6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
    if not wide:
        axis.set_minor_locator(NullLocator())


def whole_numbers(axis: Axis) -> None:
    """Ticks at round whole numbers."""
    axis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
