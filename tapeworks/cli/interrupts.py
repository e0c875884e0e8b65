"""Ctrl-C wherever it comes. Imports nothing of ours, to be there first."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

#: Exit code of what was interrupted, as shells have it.
INTERRUPTED = 130

#: Until an interrupt that was dropped comes again: the destructor has ended by then.
AGAIN_SECONDS = 0.02


class _Noted:
    """The interrupts of a command. Without a lock: a handler may interrupt another one."""

    came = False
    are_repeated = False


_NOTED = _Noted()


def end_at_once() -> None:
    """End the process without a traceback at Ctrl-C, unless it is ignored or handled already."""
    _take_over(_end)


@contextmanager
def ending_at_once() -> Iterator[None]:
    """The same for a time."""
    before = _take_over(_end)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


@contextmanager
def noting_interrupts() -> Iterator[None]:
    """Note every Ctrl-C, as it raises `KeyboardInterrupt`: not all code passes that on.

    TensorFlow's compiled code turns it into errors of its own, or drops those.
    """
    _NOTED.came = False
    before = _take_over(raise_interrupt)
    try:
        with _repeating():
            yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def raise_interrupt(number: int, frame: FrameType | None) -> None:
    """Note an interrupt and raise it: a handler of signals."""
    _NOTED.came = True
    signal.default_int_handler(number, frame)


def was_interrupted() -> bool:
    """Return whether an error may be what became of an interrupt."""
    return _NOTED.came


@contextmanager
def _repeating() -> Iterator[None]:
    """Interrupt again where Python dropped the interrupt, as no destructor can raise anything.

    Says nothing of other errors that are dropped after an interrupt, which may be made of it.
    """
    before = sys.unraisablehook

    def hook(dropped: sys.UnraisableHookArgs) -> None:
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            _thread.start_new_thread(_interrupt_again, ())
        elif not _NOTED.came:
            before(dropped)

    sys.unraisablehook, _NOTED.are_repeated = hook, True
    try:
        yield
    finally:
        sys.unraisablehook, _NOTED.are_repeated = before, False


def _interrupt_again() -> None:
    time.sleep(AGAIN_SECONDS)
    if _NOTED.are_repeated:
        os.kill(os.getpid(), signal.SIGINT)


def _take_over(handler: Callable[[int, FrameType | None], None]) -> Any:
    """Handle Ctrl-C, in the main thread and where nobody else does; return the handler before."""
    before = signal.getsignal(signal.SIGINT)
    if before not in (signal.default_int_handler, _end):
        return None
    try:
        return signal.signal(signal.SIGINT, handler)
    except ValueError:  # of any other thread
        return None


def _end(_: int, __: FrameType | None) -> None:
    os.write(2, b"tapeworks: interrupted\n")
    os._exit(INTERRUPTED)
