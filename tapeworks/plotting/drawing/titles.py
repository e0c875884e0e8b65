"""Titles that people give to pictures."""

from __future__ import annotations

import textwrap

from matplotlib.figure import Figure

from tapeworks.cli.outputs.printing import visible

#: Inches of a letter of a title.
LETTER = 0.105


def give_title(figure: Figure, title: str) -> None:
    """Write it above the picture in place of what stands there, in as many lines as it needs."""
    letters = int(figure.get_size_inches()[0] / LETTER)
    lines = textwrap.fill(visible(title), max(letters, 20))
    for axes in figure.axes:
        axes.set_title("", loc="left")
    text = figure.suptitle(lines, x=0.01, ha="left")
    text.set_parse_math(False)
