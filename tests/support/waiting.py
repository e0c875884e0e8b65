"""Waiting for what other processes do: on a condition, with a deadline, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

#: Seconds until something that should happen counts as never happening; generous, for a machine
#: that has other things to do.
DEADLINE_SECONDS = 120.0

#: Seconds between two looks.
LOOK_SECONDS = 0.05

_Value = TypeVar("_Value")


def until(look: Callable[[], _Value], what: str) -> _Value:
    """The first value of `look` that is true. Fails when there is none before the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        value = look()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited in vain until {what}; at last: {value!r}")
        time.sleep(LOOK_SECONDS)
