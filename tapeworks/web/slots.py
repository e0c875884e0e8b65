"""Bounds on what requests may cost at a time while pages and others are to be answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from tapeworks.web.problems import Refused

#: Queries in people's own SQL at a time: each may take a core, and a process with a gigabyte.
MOST_QUERIES = 4

#: Data sets at a time that are read to check runs: each may take some gigabytes.
MOST_CHECKS = 1


class Slots:
    """Lets in so many `things` at a time, and refuses the others."""

    def __init__(self, count: int = MOST_QUERIES, things: str = "queries") -> None:
        self._free, self._things = threading.BoundedSemaphore(count), things

    @contextmanager
    def hold(self, patience_seconds: float = 0.0) -> Iterator[None]:
        """Occupy a place. Raises `Refused` if none gets free in time."""
        if not self._free.acquire(timeout=patience_seconds):
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"As many {self._things} as may be are being answered; ask again in a second",
                retry_after="1",
            )
        try:
            yield
        finally:
            self._free.release()
