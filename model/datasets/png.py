"""A picture from a PNG file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tapeworks.model.datasets.source import Images
from tapeworks.model.errors import DatasetError

if TYPE_CHECKING:
    from PIL.Image import Image

#: Rows or columns of the largest picture that is read.
LARGEST_SIDE = 4096

#: A 16-bit grey level is so many times its 8-bit one.
DEEP = 257


def read_png(path: Path) -> Images:
    """The picture in grey levels, (1, rows, columns); what is transparent counts as black.

    Raises `DatasetError` for a file that is missing, damaged, no PNG, or too large.
    """
    from PIL import Image

    if not path.is_file():
        raise DatasetError(f"There is no file {path}.")
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            columns, rows = picture.size
            if max(rows, columns) > LARGEST_SIDE:
                raise DatasetError(
                    f"{path} is too large. Expected at most {LARGEST_SIDE} by {LARGEST_SIDE} "
                    f"pixels. Received: {rows} by {columns}."
                )
            return _grey_levels(picture)[np.newaxis]
    except DatasetError:
        raise
    except Exception as error:  # Pillow has an exception of its own for each kind of damage
        raise DatasetError(f"{path} cannot be read as a PNG picture.") from error


def _grey_levels(picture: Image) -> Images:
    """(rows, columns)."""
    from PIL import Image

    if picture.mode.startswith("I"):
        deep = np.asarray(picture).astype(np.float64)
        return np.rint(deep / DEEP).astype(np.uint8)
    coloured = picture.convert("RGBA")
    black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
    return np.asarray(Image.alpha_composite(black, coloured).convert("L"))
