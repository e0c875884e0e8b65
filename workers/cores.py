"""Cores that a process may use, as far as the system tells."""

from __future__ import annotations

import os


def core_count() -> int:
    """Return how many there are for this thread and what it starts; on macOS all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
