"""Ctrl-C before there is anything to clean up. Imports nothing of ours, to be there first."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: Exit code of what was interrupted, as shells have it.
INTERRUPTED = 130


@contextmanager
def ending_at_once() -> Iterator[None]:
    """End the process without a traceback at Ctrl-C, unless it is ignored or handled already."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(_: int, __: FrameType | None) -> None:
    os.write(2, b"tapeworks: interrupted\n")
    os._exit(INTERRUPTED)
