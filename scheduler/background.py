"""Work that takes its time, done while something else is looked after."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

#: Seconds between two calls of what is looked after meanwhile.
MEANWHILE_SECONDS = 0.2

_Result = TypeVar("_Result")


def in_background(work: Callable[[], _Result], meanwhile: Callable[[], None]) -> _Result:
    """What `work` returns or raises, done in a thread while `meanwhile` is called again and again.

    What `meanwhile` raises leaves the thread to itself; at the latest it ends with the process.
    """
    done: Future[_Result] = Future()

    def do() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            done.set_exception(error)

    threading.Thread(target=do, daemon=True).start()
    while not wait([done], MEANWHILE_SECONDS).done:
        meanwhile()
    return done.result()
