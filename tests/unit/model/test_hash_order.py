"""Sets have one order in all programs that compute."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
from tapeworks.model.hash_order import fix_hash_order
import sys
fix_hash_order()
print(hash("text"), *sys.argv[1:])
"""


def run(seed: str) -> str:
    """Return what the program prints where Python would order sets by this seed."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, "one", "two words"],
        env=os.environ | {"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout


@pytest.mark.parametrize("seed", ["1", "2", "random"])
def test_a_program_starts_itself_again_with_the_common_order(seed: str) -> None:
    assert run(seed) == run("0")
    assert run(seed).endswith(" one two words\n")
