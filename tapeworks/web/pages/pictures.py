"""Pictures for a browser: images of a run's data set."""

from __future__ import annotations

import io
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
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

#: Data sets that are kept in memory, and that are known to be readable or not.
MOST_KEPT, MOST_KNOWN = 2, 1000

#: Seconds after which a data set that could not be read is looked for again.
AGAIN_SECONDS = 60.0

#: Seconds for which a page waits to learn that there are no images; most reasons are found at once.
WAIT_SECONDS = 0.2

#: Seconds after which a page says that its images are being read, instead of waiting for them.
PATIENCE_SECONDS = 3.0

#: Pictures that wait at once for a data set, and the seconds that each of them does.
MOST_WAITING, PICTURE_SECONDS = 4, 10.0

#: Images as they are shown: (images, rows, columns) or (images, rows, columns, 3).
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """A data set that is read, or was."""

    at: float  #: when it was begun, by the clock that only goes forward
    images: Future[NDArray[np.generic]]

    def find_problem(self, wait_seconds: float = 0.0) -> str | None:
        """Return why the images cannot be had, once that is known."""
        try:
            error = self.images.exception(wait_seconds)
        except TimeoutError:
            is_slow = time.monotonic() - self.at > PATIENCE_SECONDS
            return "They are being read, and appear as soon as they are." if is_slow else None
        return str(error) if isinstance(error, EXPECTED) else None


class Pictures:
    """The images of the runs that people look at, where their data sets can be read here.

    To read one may take seconds, so pages do not wait for it: their pictures do.
    """

    def __init__(self) -> None:
        self._reads = OrderedDict[str, Read]()
        self._readable = OrderedDict[str, None]()
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._waiting = threading.Semaphore(MOST_WAITING)

    def find_problem(self, run: RunRecord) -> str | None:
        """Return why the run's images cannot be shown; None if they can, or if it may turn out."""
        if _key(run) in self._readable:
            return None
        return self._read(run).find_problem(WAIT_SECONDS)

    def read_image(self, run: RunRecord, number: int) -> bytes | None:
        """The image with this number in the run's data, as PNG; None if there is none.

        Raises `Refused` while the data set is being read and enough others wait for it.
        """
        if not self._waiting.acquire(timeout=PICTURE_SECONDS):
            raise _still_read()
        try:
            images = self._read(run).images.result(PICTURE_SECONDS)
        except EXPECTED:
            return None
        except TimeoutError as error:
            raise _still_read() from error
        finally:
            self._waiting.release()
        return encode(pixels_of(images[number])) if 0 <= number < len(images) else None

    def _read(self, run: RunRecord) -> Read:
        """Begin to read the images unless that was done; again where it failed some time ago."""
        key, now = _key(run), time.monotonic()
        with self._lock:
            found = self._reads.get(key)
            if found is None or (_has_failed(found) and now - found.at > AGAIN_SECONDS):
                found = self._reads[key] = Read(at=now, images=self._begin(run))
            self._reads.move_to_end(key)
            self._forget()
        return found

    def _forget(self) -> None:
        """Let go of images that were read before the newest ones, never of what is being read."""
        for most, is_of_kind in ((MOST_KEPT, _has_images), (MOST_KNOWN, _has_failed)):
            of_kind = [key for key, read in self._reads.items() if is_of_kind(read)]
            for key in of_kind[:-most]:
                del self._reads[key]

    def _begin(self, run: RunRecord) -> Future[NDArray[np.generic]]:
        """Read the run's images in a thread that nothing waits for when the page is to end.

        One data set at a time: each may take all the memory that there is.
        """
        images = Future[NDArray[np.generic]]()

        def read() -> None:
            try:
                with self._turn:
                    found = read_pictures(run).training.images
            except BaseException as error:  # noqa: BLE001 - raised to those who ask
                self._remember(_key(run), is_readable=False)
                images.set_exception(error)
            else:  # remembered before anybody learns of it: nobody begins to read once more
                self._remember(_key(run), is_readable=True)
                images.set_result(found)

        threading.Thread(target=read, daemon=True).start()
        return images

    def _remember(self, key: str, *, is_readable: bool) -> None:
        """Pages of runs on these images need not read them again, only their pictures do."""
        with self._lock:
            self._readable.pop(key, None)
            if is_readable:
                self._readable[key] = None
            while len(self._readable) > MOST_KNOWN:
                self._readable.popitem(last=False)


def _has_images(read: Read) -> bool:
    return read.images.done() and read.images.exception() is None


def _has_failed(read: Read) -> bool:
    return read.images.done() and read.images.exception() is not None


def _still_read() -> Refused:
    return Refused(
        HTTPStatus.SERVICE_UNAVAILABLE, "The images are being read; ask again in some seconds."
    )


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
