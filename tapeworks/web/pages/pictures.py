"""Pictures for a browser: images of a run's data set."""

from __future__ import annotations

import io
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

import numpy as np
from fastapi import Response
from numpy.typing import NDArray
from PIL import Image

from tapeworks.errors import EXPECTED
from tapeworks.plotting.hardest import pixels_of, read_pictures
from tapeworks.storage.records import RunRecord
from tapeworks.web.problems import Refused

#: Data sets that are kept in memory.
MOST_KEPT = 2

#: Seconds after which a data set that could not be read is looked for again.
AGAIN_SECONDS = 60.0

#: Seconds for which a page waits to learn that there are no images; most reasons are found at once.
WAIT_SECONDS = 0.2

#: Images as they are shown: (images, rows, columns) or (images, rows, columns, 3).
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """A data set that is read, or was."""

    at: float  #: when it was begun, by the clock that only goes forward
    images: Future[NDArray[np.generic]]

    def find_problem(self, wait_seconds: float = 0.0) -> str | None:
        """Return why the images cannot be had, once that is known."""
        with suppress(TimeoutError):
            error = self.images.exception(wait_seconds)
            if isinstance(error, EXPECTED):
                return str(error)
        return None


class Pictures:
    """The images of the runs that people look at, where their data sets can be read here.

    To read one may take seconds, so pages do not wait for it: their pictures do.
    """

    def __init__(self) -> None:
        self._reads = OrderedDict[str, Read]()
        self._lock = threading.Lock()

    def find_problem(self, run: RunRecord) -> str | None:
        """Return why the run's images cannot be shown; None if they can, or if it may turn out."""
        return self._read(run).find_problem(WAIT_SECONDS)

    def read_image(self, run: RunRecord, number: int) -> bytes | None:
        """The image with this number in the run's data, as PNG; None if there is none."""
        try:
            images = self._read(run).images.result()
        except EXPECTED:
            return None
        return encode(pixels_of(images[number])) if 0 <= number < len(images) else None

    def _read(self, run: RunRecord) -> Read:
        """Begin to read the images unless that was done; again where it failed some time ago."""
        key, now = _key(run), time.monotonic()
        with self._lock:
            found = self._reads.get(key)
            if found is None or (found.find_problem() and now - found.at > AGAIN_SECONDS):
                found = self._reads[key] = Read(at=now, images=_read_aside(run))
            self._reads.move_to_end(key)
            while len(self._reads) > MOST_KEPT:
                self._reads.popitem(last=False)
        return found


def _read_aside(run: RunRecord) -> Future[NDArray[np.generic]]:
    """Read the run's images in a thread that nothing waits for when the page is to end."""
    images = Future[NDArray[np.generic]]()

    def read() -> None:
        try:
            images.set_result(read_pictures(run).training.images)
        except BaseException as error:  # noqa: BLE001 - raised to those who ask
            images.set_exception(error)

    threading.Thread(target=read, daemon=True).start()
    return images


def _key(run: RunRecord) -> str:
    """The same for runs on the same images, once a scheduler has read them."""
    return run.images_digest or run.id


def encode(pixels: Pixels) -> bytes:
    """Pixels as PNG."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def send_png(content: bytes | None) -> Response:
    """Answer with the picture. Raises `Refused` if there is none."""
    if content is None:
        raise Refused(HTTPStatus.NOT_FOUND, "There is no such picture.")
    return Response(content, media_type="image/png")
