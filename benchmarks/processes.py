"""Whole processes and the time they take, and the environment that they are started in."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

#: The command beside the interpreter that runs the benchmark.
TAPEWORKS = str(Path(sys.executable).parent / "tapeworks")

#: The repository, where `python -m benchmarks…` is found.
ROOT = Path(__file__).resolve().parent.parent


def environment(**variables: str) -> dict[str, str]:
    """This environment without any setting of Tapeworks but the given ones."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TAPEWORKS_")}
    return kept | variables


def run(command: Sequence[str], **variables: str) -> tuple[float, str]:
    """Seconds from start to exit, and the standard output. Raises if the command fails."""
    began = time.perf_counter()
    done = subprocess.run(
        command, env=environment(**variables), cwd=ROOT, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    require_success(done.returncode, command, done.stderr)
    return seconds, done.stdout


def require_success(code: int, command: object, words: str) -> None:
    """Raise with the command's last words unless it ended well: its time would mean nothing."""
    if code:
        raise RuntimeError(f"{command} ended with {code}: {words[-2000:]}")
