"""The order of sets, which is part of what a user's network computes if it goes through one."""

from __future__ import annotations

import contextlib
import os
import sys

#: With it Python orders sets of text alike in every process.
VARIABLE, VALUE = "PYTHONHASHSEED", "0"


def fix_hash_order() -> None:
    """Start this program again where sets have another order than in other processes."""
    if sys.flags.hash_randomization:
        os.environ[VARIABLE] = VALUE
        with contextlib.suppress(OSError):
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - itself
