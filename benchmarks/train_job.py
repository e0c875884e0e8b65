"""`tapeworks train` as a whole: to its first committed iteration, and to its end."""

from __future__ import annotations

import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.processes import ROOT, TAPEWORKS, environment, require_success

#: The main job: the seed's numbers, two workers, a private Redis.
IMAGES, ITERATIONS, WORKERS = 50, 50, 2

#: Seconds between two looks for the first iteration.
LOOK_SECONDS = 0.02


def measure(directory: Path) -> Iterator[tuple[str, float]]:
    """Seconds from the command's start, on a new database."""
    with tempfile.TemporaryDirectory(dir=directory) as place:
        first, last = _timed(Path(place))
    yield "first_iteration_seconds", first
    yield "job_seconds", last


def _timed(place: Path) -> tuple[float, float]:
    database, command = place / "runs.db", _command(place)
    began = time.perf_counter()
    with (place / "words").open("w+b") as words:
        process = subprocess.Popen(
            command,
            env=environment(TAPEWORKS_DATABASE_URL=str(database)),
            cwd=ROOT,
            stdout=words,
            stderr=words,
        )
        try:
            first = _until_first_iteration(process, database) - began
            process.wait()
        finally:
            process.terminate()  # drains; of a process that has ended, nothing
            process.wait()
    last = time.perf_counter() - began
    require_success(process.returncode, command, (place / "words").read_text(errors="replace"))
    return first, last


def _command(place: Path) -> list[str]:
    options = {
        "--dataset": "digits",
        "--images": IMAGES,
        "--iterations": ITERATIONS,
        "--workers": WORKERS,
        "--plot": place / "loss_curve.svg",
    }
    return [TAPEWORKS, "train", *(str(part) for option in options.items() for part in option)]


def _until_first_iteration(process: subprocess.Popen[bytes], database: Path) -> float:
    while process.poll() is None and not _committed(database):
        time.sleep(LOOK_SECONDS)
    return time.perf_counter()


def _committed(database: Path) -> bool:
    """Return whether an iteration stands in the database; it may not even have its tables yet."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT 1 FROM iterations LIMIT 1").fetchone()
    except sqlite3.OperationalError:
        return False
    return found is not None
