"""A picture from what it shows to a file's content."""

from __future__ import annotations

import io
import warnings

from matplotlib.figure import Figure

from tapeworks.plotting.curves import Curves
from tapeworks.plotting.drawing.contact_sheet import draw_contact_sheet
from tapeworks.plotting.drawing.curves import draw_curves
from tapeworks.plotting.drawing.heat_map import draw_heat_map
from tapeworks.plotting.drawing.timeline import draw_timeline
from tapeworks.plotting.hardest import ContactSheet
from tapeworks.plotting.heat_map import HeatMap
from tapeworks.plotting.timeline import Timeline

#: Dots per inch of a PNG.
RESOLUTION = 150


def draw(content: Curves | HeatMap | Timeline | ContactSheet) -> Figure:
    """The drawing of whatever it is."""
    if isinstance(content, Curves):
        return draw_curves(content)
    if isinstance(content, HeatMap):
        return draw_heat_map(content)
    if isinstance(content, Timeline):
        return draw_timeline(content)
    return draw_contact_sheet(content)


def render(figure: Figure, picture_format: str) -> bytes:
    """The file's content."""
    content = io.BytesIO()
    with warnings.catch_warnings():  # a letter that the font lacks is drawn as a box
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(content, format=picture_format, dpi=RESOLUTION)
    return content.getvalue()
