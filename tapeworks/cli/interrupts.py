"""Ctrl-C before there is anything to clean up. Imports nothing of ours, to be there first."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

#: Exit code of what was interrupted, as shells have it.
INTERRUPTED = 130


@contextmanager
def ending_at_once() -> Iterator[None]:
    """End the process without a traceback at Ctrl-C, unless it is ignored or handled already."""
    with _handling(_end):
        yield


@contextmanager
def noting_interrupts() -> Iterator[threading.Event]:
    """Set the event at Ctrl-C, as `KeyboardInterrupt` is raised: not all code passes that on.

    TensorFlow's compiled code turns it into errors of its own.
    """
    noted = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        noted.set()
        signal.default_int_handler(number, frame)

    with _handling(note):
        yield noted


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(_: int, __: FrameType | None) -> None:
    os.write(2, b"tapeworks: interrupted\n")
    os._exit(INTERRUPTED)
