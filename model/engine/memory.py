"""The memory that a process keeps for its next computation."""

from __future__ import annotations

import ctypes

#: Memory that a process keeps when it is freed. Half of it is the most that glibc accepts as the
#: size from which an array is mapped apart.
KEPT_BYTES = 64 * 2**20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from <malloc.h>


def keep_freed_memory() -> None:
    """Let glibc keep what a microbatch frees, for the next one.

    It would give the memory back to the kernel, which clears every page before it gives it again:
    with some sizes that doubles the time.
    """
    adjust = getattr(ctypes.CDLL(None), "mallopt", None)
    if adjust is not None:  # other C libraries have no such setting
        adjust(_M_TRIM_THRESHOLD, KEPT_BYTES)
        adjust(_M_MMAP_THRESHOLD, KEPT_BYTES // 2)
