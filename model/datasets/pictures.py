"""PNG and JPEG pictures as grey levels or colours, none of which may fill the memory."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tapeworks.model.datasets.source import Images
from tapeworks.model.errors import DatasetError

if TYPE_CHECKING:
    from PIL.Image import Image

#: The forms that are read, and the endings of their files' names.
FORMS = ("PNG", "JPEG")
ENDINGS = (".png", ".jpg", ".jpeg")

#: Pixels of the largest picture that is read, as those of 8,192 by 8,192: 268 MB in colour.
MOST_PIXELS = 2**26

#: A 16-bit grey level is so many times its 8-bit one.
DEEP = 257

#: Levels below are dark, and what is less opaque is not seen.
MIDDLE = 128


def read_picture(path: Path, *, in_colour: bool = False) -> Images:
    """The picture in grey levels, (1, rows, columns), or in colour, (1, rows, columns, 3).

    It is turned as its camera says; of one that moves it is the first. What is transparent counts
    as black, or as white where all that is drawn is dark. Raises `DatasetError` for a file that is
    missing, damaged, no such picture, or too large.
    """
    from PIL import Image, ImageOps

    if not path.is_file():
        raise DatasetError(f"There is no file {path}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a size that is refused below, and of odd metadata
            with Image.open(path, formats=FORMS) as picture:
                _check_size(path, picture)
                upright = ImageOps.exif_transpose(picture)
                return _levels(upright, "RGB" if in_colour else "L")[np.newaxis]
    except DatasetError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path, "more than twice as many") from error
    except Exception as error:  # Pillow has an exception of its own for each kind of damage
        raise DatasetError(f"{path} cannot be read as a PNG or JPEG picture.") from error


def _check_size(path: Path, picture: Image) -> None:
    columns, rows = picture.size
    if rows * columns > MOST_PIXELS:
        raise _too_large(path, f"{rows} by {columns}")


def _too_large(path: Path, received: str) -> DatasetError:
    return DatasetError(
        f"{path} is too large. Expected at most {MOST_PIXELS:,} pixels. Received: {received}."
    )


def _levels(picture: Image, mode: str) -> Images:
    """(rows, columns), or (rows, columns, 3) with mode RGB."""
    from PIL import Image

    if picture.mode.startswith("I"):
        deep = np.asarray(picture).astype(np.float64)
        picture = Image.fromarray(np.rint(deep / DEEP).astype(np.uint8))
    if not picture.has_transparency_data:
        return np.asarray(picture.convert("RGB").convert(mode))
    seen = picture.convert("RGBA")
    ink = np.asarray(seen.convert("L"))[np.asarray(seen.getchannel("A")) >= MIDDLE]
    level = 255 if len(ink) and ink.max() < MIDDLE else 0
    ground = Image.new("RGBA", seen.size, (level, level, level, 255))
    return np.asarray(Image.alpha_composite(ground, seen).convert(mode))
