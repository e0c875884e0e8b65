"""The cores of this machine, and processes that are pinned to one of them.

Two busy processes that may run anywhere can share one core for seconds, which halves any figure.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache

import psutil

#: Systems without it, macOS among them, place processes as they like.
CAN_PIN = hasattr(os, "sched_setaffinity")


@cache
def cores() -> list[int]:
    """Return the cores that this process may use, or could before it was pinned itself."""
    return sorted(os.sched_getaffinity(0)) if CAN_PIN else list(range(os.cpu_count() or 1))


def core_of(place: int) -> int:
    """Return the core of the process at this place; with more processes than cores they share."""
    return cores()[place % len(cores())]


def pin(pid: int, place: int) -> None:
    """Keep a process, with all its threads and those that they start, on one core."""
    if not CAN_PIN:
        return
    with suppress(psutil.NoSuchProcess):
        for thread in psutil.Process(pid).threads():
            with suppress(ProcessLookupError):  # it has just ended
                os.sched_setaffinity(thread.id, {core_of(place)})
