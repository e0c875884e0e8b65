"""Work that takes its time, done while something else is looked after."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

#: Seconds between two calls of what is looked after meanwhile.
MEANWHILE_SECONDS = 0.2

_Result = TypeVar("_Result")


def start(work: Callable[[], _Result], name: str | None = None) -> Future[_Result]:
    """Begin work in a thread that ends with the process at the latest, which no executor's does."""
    future: Future[_Result] = Future()

    def do() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            future.set_exception(error)

    threading.Thread(target=do, name=name, daemon=True).start()
    return future


def in_background(work: Callable[[], _Result], meanwhile: Callable[[], None]) -> _Result:
    """Return what `work` returns or raises, while `meanwhile` is called again and again.

    What `meanwhile` raises leaves the thread to itself.
    """
    future = start(work)
    while not wait([future], MEANWHILE_SECONDS).done:
        meanwhile()
    return future.result()
