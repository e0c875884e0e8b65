"""A picture from what it shows to a file's content."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping

from matplotlib.figure import Figure

from tapeworks.plotting.curves import Curves
from tapeworks.plotting.drawing.contact_sheet import draw_contact_sheet
from tapeworks.plotting.drawing.curves import draw_curves
from tapeworks.plotting.drawing.heat_map import draw_heat_map
from tapeworks.plotting.drawing.timeline import draw_timeline
from tapeworks.plotting.drawing.titles import give_title
from tapeworks.plotting.hardest import ContactSheet
from tapeworks.plotting.heat_map import HeatMap
from tapeworks.plotting.timeline import Timeline

#: Dots per inch of a PNG.
RESOLUTION = 150


def draw(content: Curves | HeatMap | Timeline | ContactSheet, title: str | None = None) -> Figure:
    """The drawing of whatever it is, with this title if it is not to have its own."""
    figure = _draw(content)
    if title is not None:
        give_title(figure, title)
    return figure


def _draw(content: Curves | HeatMap | Timeline | ContactSheet) -> Figure:
    if isinstance(content, Curves):
        return draw_curves(content)
    if isinstance(content, HeatMap):
        return draw_heat_map(content)
    if isinstance(content, Timeline):
        return draw_timeline(content)
    return draw_contact_sheet(content)


def render(figure: Figure, picture_format: str, notes: Mapping[str, str] | None = None) -> bytes:
    """The file's content, with these notes in it, which nobody sees."""
    content = io.BytesIO()
    with warnings.catch_warnings():  # a letter that the font lacks is drawn as a box
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(content, format=picture_format, dpi=RESOLUTION, metadata=notes)
    return content.getvalue()
