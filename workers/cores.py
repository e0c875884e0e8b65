"""The cores that a process may use, and processes that are kept on one of them."""

from __future__ import annotations

import os
from contextlib import suppress


def core_count(process: int = 0) -> int:
    """Return how many cores this process may use (0: this thread); on macOS all there are."""
    if hasattr(os, "sched_getaffinity"):
        with suppress(OSError):  # it has ended
            return len(os.sched_getaffinity(process))
    return os.cpu_count() or 1


def cores_for(processes: int) -> list[int | None]:
    """Return a core of its own for each of so many processes.

    None for each unless there are exactly as many as this thread may use: fewer leave the system
    a choice, more have to share. macOS keeps no process on a core.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return [*cores] if len(cores) == processes else [None] * processes


def pin(process: int, core: int) -> None:
    """Keep a process that has just been started, and all threads that it will start, on a core."""
    with suppress(OSError):  # the process has ended, or the core was taken away
        os.sched_setaffinity(process, {core})
