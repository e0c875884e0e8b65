"""Pictures for a browser: images of a run's data set, and the heat map of their losses."""

from __future__ import annotations

import io
import threading
import time
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tapeworks.errors import EXPECTED
from tapeworks.plotting.hardest import pixels_of, read_pictures
from tapeworks.plotting.heat_map import Losses
from tapeworks.storage.records import RunRecord

#: Data sets that are kept in memory.
MOST_KEPT = 2

#: Seconds after which a data set that could not be read is looked for again.
AGAIN_SECONDS = 60.0

#: Losses below so much of the highest one share its darkest colour.
SMALLEST_SHARE = 1e-6

#: The map's colours, from low to high losses; also of its legend, in app.css.
COLOURS = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)])

#: Images as they are shown: (images, rows, columns) or (images, rows, columns, 3).
Pixels = NDArray[np.uint8]


class Pictures:
    """The images of the runs that people look at, where their data sets can be read here."""

    def __init__(self) -> None:
        self._kept = OrderedDict[str, NDArray[np.generic]]()
        self._missing = dict[str, tuple[float, str]]()
        self._lock = threading.Lock()

    def find_problem(self, run: RunRecord) -> str | None:
        """Return why the run's images cannot be shown, in a sentence; None if they can."""
        with self._lock:
            return self._problem(run)

    def read_image(self, run: RunRecord, number: int) -> bytes | None:
        """The image with this number in the run's data, as PNG; None if there is none."""
        with self._lock:
            if self._problem(run):
                return None
            images = self._kept[_key(run)]
        return encode(pixels_of(images[number])) if 0 <= number < len(images) else None

    def _problem(self, run: RunRecord) -> str | None:
        """Read the images unless they are kept, or could not be read a moment ago."""
        key, now = _key(run), time.monotonic()
        if key in self._kept:
            self._kept.move_to_end(key)
            return None
        since, sentence = self._missing.get(key, (-AGAIN_SECONDS, ""))
        if now - since < AGAIN_SECONDS:
            return sentence
        try:
            self._kept[key] = read_pictures(run).training.images
        except EXPECTED as error:
            self._missing = {key: (now, str(error))}
            return str(error)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return None


def _key(run: RunRecord) -> str:
    """The same for runs on the same images, once a scheduler has read them."""
    return run.images_digest or run.id


def encode(pixels: Pixels) -> bytes:
    """Pixels as PNG."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def colour(losses: Losses) -> Pixels:
    """The losses' colours by their logarithm, (rows, columns, 4); NaN is transparent."""
    known = np.isfinite(losses)
    low, high = bounds(losses)
    logarithms = np.log(np.clip(np.where(known, losses, low), low, high))
    span = np.log(high) - np.log(low) or 1.0
    places = (logarithms - np.log(low)) / span * (len(COLOURS) - 1)
    pixels = np.empty((*losses.shape, 4), np.uint8)
    for part in range(3):
        pixels[..., part] = np.rint(np.interp(places, range(len(COLOURS)), COLOURS[:, part]))
    pixels[..., 3] = np.where(known, 255, 0)
    return pixels


def bounds(losses: Losses) -> tuple[float, float]:
    """The losses of the darkest and the lightest colour."""
    known = losses[np.isfinite(losses)]
    high = float(known.max(initial=0.0)) or 1.0
    return max(float(known.min(initial=high)), high * SMALLEST_SHARE), high
