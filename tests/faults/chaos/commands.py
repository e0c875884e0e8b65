"""The product's commands that the drill calls and waits for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT, environment, require_success

#: Seconds until a command has hung.
LONGEST_SECONDS = 300.0

TAPEWORKS = [sys.executable, "-P", "-m", "tapeworks"]

#: A run of the default network; so many images that an iteration takes about a tenth of a second.
IMAGES = 160


def options(seed: int, iterations: int) -> list[str]:
    """The run of a seed, as `submit` and `train` are asked for it."""
    values = {"--images": IMAGES, "--iterations": iterations, "--seed": seed}
    values |= {"--checkpoint-every": 1000}
    return [str(part) for pair in values.items() for part in pair]


def call(arguments: Sequence[str], directory: Path, **variables: str) -> str:
    """A command's standard output. Raises if it fails."""
    command = [*TAPEWORKS, *arguments]
    done = subprocess.run(
        command,
        env=environment(PYTHONPATH=str(ROOT), **variables),
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST_SECONDS,
    )
    require_success(done.returncode, command, done.stderr)
    return done.stdout


def undisturbed(seed: int, iterations: int, directory: Path) -> tuple[str, str]:
    """Train without queue or workers: the database's path and the run's id."""
    database = str(directory / "undisturbed.db")
    arguments = ["train", "--workers", "0", "--json", *options(seed, iterations)]
    run: dict[str, Any] = json.loads(call(arguments, directory, TAPEWORKS_DATABASE_URL=database))
    return database, str(run["id"])


def offers_audit() -> bool:
    """Return whether runs can be audited by recomputation."""
    return "--audit" in call(["submit", "--help"], ROOT)
