"""One `tapeworks train` as a process, its workers pinned, and what its history says of it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import psutil

from benchmarks.cores import cores, pin
from benchmarks.processes import ROOT, TAPEWORKS, environment, require_success

#: First iterations that no figure counts: in them workers fetch images and learn the pace.
WARM_UP = 3

#: Seconds between two looks for workers that have not started yet.
LOOK_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """The options of a training; MNIST's files are looked for as `tapeworks train` does."""

    images: int
    classes: str = "3,6"
    dataset: str = "mnist"
    iterations: int
    others: tuple[str, ...] = ()  #: further words of the command line

    @property
    def options(self) -> list[str]:
        """As the command line says it."""
        options = {
            "--dataset": self.dataset,
            "--classes": self.classes,
            "--images": self.images,
            "--iterations": self.iterations,
        }
        return [*(str(word) for option in options.items() for word in option), *self.others]

    def of(self, iterations: int | None) -> Job:
        """Return the same with so many iterations, if they are given."""
        return self if iterations is None else replace(self, iterations=iterations)


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """The times of one command."""

    seconds: float  #: from its start to its end
    periods: list[float]  #: seconds from one iteration's start to the next one's
    first_loss: float  #: summed over the first iteration's images


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """A command that runs."""

    process: subprocess.Popen[bytes]
    database: Path
    words: Path  #: what it says

    def finish(self) -> None:
        """Wait for its end. Raises if it fails."""
        code = self.process.wait()
        require_success(code, self.process.args, self.words.read_text(errors="replace"))

    def workers(self) -> list[int]:
        """Return the processes of its workers, oldest first."""
        children = psutil.Process(self.process.pid).children()
        ours = [child for child in children if _is_worker(child)]
        return [child.pid for child in sorted(ours, key=psutil.Process.create_time)]

    def pin(self, workers: int) -> None:
        """Wait for so many workers and pin each to a core; what is left over goes to the rest.

        Raises if there were never so many.
        """
        if not workers:
            pin(self.process.pid, 0)
            return
        while len(found := self.workers()) < workers and self.process.poll() is None:
            time.sleep(LOOK_SECONDS)
        if len(found) < workers:
            self.finish()
            raise RuntimeError(f"Expected {workers} workers to pin. Received: {len(found)}.")
        for place, worker in enumerate(found):
            pin(worker, place)
        if workers < len(cores()):
            pin(self.process.pid, workers)


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "tapeworks.workers" in process.cmdline()
    except psutil.NoSuchProcess:  # it has just ended
        return False


def time_train(
    job: Job,
    *,
    workers: int | None,
    gradients: str | None = None,
    pinned: bool = True,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Timing:
    """Run the job to its end in this environment; without a number of workers as `train` likes."""
    options = job.options
    options += [] if workers is None else ["--workers", str(workers)]
    options += [] if gradients is None else ["--gradients", gradients]
    began = time.perf_counter()
    with started(options, variables) as training:
        if pinned and workers is not None:
            training.pin(workers)
        training.finish()
        seconds = time.perf_counter() - began
        periods, first_loss = read_history(training.database)
    return Timing(seconds=seconds, periods=periods, first_loss=first_loss)


@contextmanager
def started(
    options: list[str], variables: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Training]:
    """Start `train` on a new database; its process is gone on leaving."""
    with tempfile.TemporaryDirectory(prefix="tapeworks-bench-") as name:
        place = Path(name)
        database, words = place / "runs.db", place / "words"
        places = {
            "TAPEWORKS_DATABASE_URL": str(database),
            "TAPEWORKS_DATA_DIR": os.environ.get("TAPEWORKS_DATA_DIR", ""),
        }
        command = [TAPEWORKS, "train", *options, "--plot", str(place / "curve.svg")]
        with words.open("wb") as log:
            process = subprocess.Popen(
                command,
                env=environment(**places, **variables),
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        try:
            yield Training(process=process, database=database, words=words)
        finally:
            process.terminate()  # drains; of a process that has ended, nothing
            process.wait()


def read_history(database: Path, warm_up: int = WARM_UP) -> tuple[list[float], float]:
    """Seconds from one iteration's start to the next, without the first ones; the first loss."""
    with closing(sqlite3.connect(database)) as connection:
        query = "SELECT started_at, loss FROM iterations ORDER BY iteration"
        moments, losses = zip(*connection.execute(query), strict=True)
    starts = map(datetime.fromisoformat, moments[warm_up:])
    periods = [(after - before).total_seconds() for before, after in pairwise(starts)]
    return periods, float(losses[0])
