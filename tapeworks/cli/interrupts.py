"""Ctrl-C wherever it comes. Imports nothing of ours, to be there first."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threading import Event

#: Exit code of what was interrupted, as shells have it.
INTERRUPTED = 130

#: Until an interrupt that was dropped comes again: the destructor has ended by then.
AGAIN_SECONDS = 0.02


@contextmanager
def ending_at_once() -> Iterator[None]:
    """End the process without a traceback at Ctrl-C, unless it is ignored or handled already."""
    with _handling(_end):
        yield


@contextmanager
def noting_interrupts() -> Iterator[Event]:
    """Set the event at Ctrl-C, as `KeyboardInterrupt` is raised: not all code passes that on.

    TensorFlow's compiled code turns it into errors of its own, or drops those.
    """
    from threading import Event  # is loaded when Ctrl-C is handled already

    noted = Event()

    def note(number: int, frame: FrameType | None) -> None:
        noted.set()
        signal.default_int_handler(number, frame)

    with _handling(note), _repeating(noted):
        yield noted


@contextmanager
def _repeating(noted: Event) -> Iterator[None]:
    """Interrupt again where Python dropped the interrupt, as no destructor can raise anything.

    Says nothing of other errors that are dropped after an interrupt, which may be made of it.
    """
    from threading import Timer

    before, timers = sys.unraisablehook, list[Timer]()

    def hook(dropped: sys.UnraisableHookArgs) -> None:
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            timers.append(Timer(AGAIN_SECONDS, os.kill, (os.getpid(), signal.SIGINT)))
            timers[-1].daemon = True
            timers[-1].start()
        elif not noted.is_set():
            before(dropped)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in timers:
            timer.cancel()


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if not _take_over(handler):
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _take_over(handler: Callable[[int, FrameType | None], None]) -> bool:
    """Return whether it handles Ctrl-C now: in the main thread, where nobody else does."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return False
    try:
        signal.signal(signal.SIGINT, handler)
    except ValueError:  # of any other thread
        return False
    return True


def _end(_: int, __: FrameType | None) -> None:
    os.write(2, b"tapeworks: interrupted\n")
    os._exit(INTERRUPTED)
