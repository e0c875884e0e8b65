"""The cores that a process may use, and processes that are kept on one of them."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

#: Where Linux names this process's control group, and shows the limits of all of them (version 2).
OWN_GROUP, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def core_count(process: int = 0) -> int:
    """Return how many cores this process may keep busy (0: this thread), at least 1.

    Those of its affinity, which macOS does not tell, or fewer if a container's quota is less.
    """
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        with suppress(OSError):  # it has ended
            count = len(os.sched_getaffinity(process))
    return max(1, int(min(count, _quota())))


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


def _quota() -> float:
    """Return the cores' worth of time that this process's group and those above it leave it."""
    quotas = [math.inf]
    with suppress(OSError):
        for line in OWN_GROUP.read_text().splitlines():
            if line.startswith("0::"):
                group = GROUPS / line.removeprefix("0::").strip("/")
                quotas += map(_quota_of, (group, *group.parents))
    return min(quotas)


def _quota_of(group: Path) -> float:
    with suppress(OSError, ValueError):  # there is none, or it is "max"
        most, period = (group / "cpu.max").read_text().split()
        return int(most) / int(period)
    return math.inf
