"""Files that hold the history: their owner's alone."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def create_private(path: Path) -> None:
    """Create an empty file that nobody but its owner may read, unless something is there.

    SQLite takes an empty file for a new database, gives the files beside it the same mode, and
    says itself what is wrong with a place where none can be created.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
