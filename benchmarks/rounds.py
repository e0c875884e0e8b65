"""Rounds of a benchmark: how many, and which one is on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator


def count(text: str) -> int:
    """A number of rounds from the command line."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError("expected 1 or more")
    return int(text)


def announced(rounds: int) -> Iterator[int]:
    """Round after round, told to whoever waits."""
    for number in range(1, rounds + 1):
        print(f"Round {number} of {rounds}", file=sys.stderr, flush=True)
        yield number
