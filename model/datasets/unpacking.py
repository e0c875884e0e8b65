"""How large a compressed file may become: a small one must not fill the memory."""

from __future__ import annotations

from pathlib import Path

from tapeworks.model.errors import DatasetError

#: Bytes that any file may become; what is smaller harms nobody.
ALWAYS_ALLOWED = 64 * 1024 * 1024

#: Times its size that a larger one may become. MNIST's images become 5 times, its labels twice as
#: large; a file that is made for it a thousand times.
LARGEST_GROWTH = 100


def largest_unpacked(path: Path) -> int:
    """Bytes that this file may become."""
    return max(ALWAYS_ALLOWED, LARGEST_GROWTH * path.stat().st_size)


def too_large(path: Path) -> DatasetError:
    """The error for a file that would become larger."""
    return DatasetError(
        f"{path} becomes too large. Expected at most {largest_unpacked(path):,} bytes unpacked. "
        "If it is right as it is, write it without compression."
    )
