"""A bound on what people's own SQL costs while pages and other requests are to be answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from tapeworks.web.problems import Refused

#: Queries at a time: each may take a core, and a process with a gigabyte.
MOST_QUERIES = 4


class Slots:
    """Lets in so many at a time, and refuses the others."""

    def __init__(self, count: int = MOST_QUERIES) -> None:
        self._free = threading.BoundedSemaphore(count)

    @contextmanager
    def hold(self, patience_seconds: float = 0.0) -> Iterator[None]:
        """Occupy a place. Raises `Refused` if none gets free in time."""
        if not self._free.acquire(timeout=patience_seconds):
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "As many queries as may be are being answered; ask again in a second",
                retry_after="1",
            )
        try:
            yield
        finally:
            self._free.release()
