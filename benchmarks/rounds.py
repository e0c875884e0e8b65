"""Numbers of a benchmark's command line, and its rounds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator


def at_least(least: int) -> Callable[[str], int]:
    """Return how a number that must not be smaller is read from the command line."""

    def read(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"expected {least} or more")
        return int(text)

    return read


def count(text: str) -> int:
    """A number of rounds from the command line."""
    return at_least(1)(text)


def announced(rounds: int) -> Iterator[int]:
    """Round after round, told to whoever waits."""
    for number in range(1, rounds + 1):
        print(f"Round {number} of {rounds}", file=sys.stderr, flush=True)
        yield number
