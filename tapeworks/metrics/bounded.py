"""Looks at Redis and the database for a scrape, which must not wait for them for long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

#: Seconds that a scrape waits for one place; Prometheus gives up a scrape after ten.
LOOK_SECONDS = 2.0

_Found = TypeVar("_Found")


class BoundedLook(Generic[_Found]):
    """What `look` finds; None when it raises `away`, or takes too long.

    One that takes too long goes on in its thread, and the next scrape waits for the same one: there
    is never a second, however long it takes and whoever asks.
    """

    def __init__(self, look: Callable[[], _Found], away: type[Exception]) -> None:
        self._look, self._away = look, away
        self._lock = threading.Lock()
        self._pending: Future[_Found] | None = None

    def __call__(self) -> _Found | None:
        with self._lock:
            pending = self._pending = self._pending or self._begun()
        if not wait([pending], LOOK_SECONDS).done:
            return None
        with self._lock:
            if self._pending is pending:
                self._pending = None
        try:
            return pending.result()
        except self._away:
            return None

    def _begun(self) -> Future[_Found]:
        future: Future[_Found] = Future()

        def do() -> None:
            try:
                future.set_result(self._look())
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                future.set_exception(error)

        threading.Thread(target=do, name="metrics", daemon=True).start()
        return future
