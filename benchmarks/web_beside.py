"""The time of an iteration while pages of the web page are open, beside that without any.

    python -m benchmarks.web_beside

One training in one process (`--workers 0`) on one core, the web page and 20 clients that poll as
browsers do on another where there is one. In one run, seconds with and without the clients follow
each other, so that both have the same machine; each ratio is of neighbours.
"""

from __future__ import annotations

import argparse
import itertools
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import cores
from benchmarks.history.engines import NAMES, empty_database
from benchmarks.processes import ROOT, TAPEWORKS, environment
from benchmarks.rounds import at_least, count
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History

#: Of the run: iterations of some ten milliseconds, which are committed several at once.
OPTIONS = "--dataset digits --images 200 --iterations 1000000 --workers 0 --plot curve.svg"

#: Pages that are open, all of them of the run.
PAGES = 20

#: Seconds at the beginning of each part that are not counted: the processes change over.
SETTLING_SECONDS = 0.5

#: Seconds to wait for the first iteration: of TensorFlow's start, on a busy machine.
START_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Beside:
    """One engine's result."""

    alone_ms: float  #: of an iteration, the median of all parts without pages
    watched_ms: float
    ratio: float  #: the median over pairs of neighbours
    polls: int  #: that were answered per second of the parts with pages
    most_log_mb: float  #: of SQLite's write-ahead log: more and more if it could not be emptied


def main() -> None:
    """Measure both engines and tell it, the ratios in the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=count, default=12, help="pairs of parts of each engine")
    parser.add_argument("--seconds", type=at_least(2), default=5, help="of a part")
    given = parser.parse_args()
    found = {engine: _measure(engine, given.rounds, given.seconds) for engine in NAMES}
    for engine, one in found.items():
        print(
            f"{engine:11} iteration {one.alone_ms:.2f} ms alone, {one.watched_ms:.2f} ms beside "
            f"{PAGES} pages with {one.polls} polls a second, ratio {one.ratio:.3f}, "
            f"write-ahead log at most {one.most_log_mb:.1f} MB"
        )
    ratios = " ".join(f"{engine}_ratio={one.ratio:.3f}" for engine, one in found.items())
    print(f"web_beside: {ratios}")


def _measure(engine: str, rounds: int, seconds: int) -> Beside:
    with empty_database(engine) as database, TemporaryDirectory() as place:
        database.upgrade()
        history = History(database)
        with _training(database, Path(place)), _served(database, Path(place)) as address:
            run_id = _begun(history)
            with _clients(f"{address}runs/{run_id}", f"{address}curves?run={run_id}") as clients:
                parts = _take_turns(clients, database, rounds, seconds)
                clients.send_signal(signal.SIGCONT)
                polls = _end(clients)
        return _judge(history, run_id, parts, polls)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A time in which the clients polled, or did not."""

    watched: bool
    first: datetime
    last: datetime
    log_bytes: int

    def median_ms(self, starts: Sequence[datetime]) -> float:
        """The median time from one iteration's start to the next one's."""
        within = [at for at in starts if self.first <= at <= self.last]
        spans = [(after - at).total_seconds() for at, after in itertools.pairwise(within)]
        return 1000 * statistics.median(spans)


def _take_turns(
    clients: subprocess.Popen[bytes], database: Database, rounds: int, seconds: int
) -> list[Part]:
    parts = []
    for number in range(2 * rounds):
        watched = number % 4 in {1, 2}  # neither kind is always the earlier one
        clients.send_signal(signal.SIGCONT if watched else signal.SIGSTOP)
        time.sleep(SETTLING_SECONDS)
        first = datetime.now(UTC)
        time.sleep(seconds - SETTLING_SECONDS)
        last = datetime.now(UTC)
        parts.append(Part(watched=watched, first=first, last=last, log_bytes=_log(database)))
    return parts


def _log(database: Database) -> int:
    file = database.file
    return file.with_name(file.name + "-wal").stat().st_size if file else 0


def _judge(history: History, run_id: str, parts: Sequence[Part], polls: int) -> Beside:
    starts = [record.started_at for record in history.iterations(run_id)]
    times = [(part.watched, part.median_ms(starts)) for part in parts]
    pairs = [dict(pair) for pair in zip(times[::2], times[1::2], strict=True)]
    watched_seconds = sum(
        (part.last - part.first).total_seconds() + SETTLING_SECONDS
        for part in parts
        if part.watched
    )
    return Beside(
        alone_ms=statistics.median(pair[False] for pair in pairs),
        watched_ms=statistics.median(pair[True] for pair in pairs),
        ratio=statistics.median(pair[True] / pair[False] for pair in pairs),
        polls=round(polls / watched_seconds),
        most_log_mb=max(part.log_bytes for part in parts) / 2**20,
    )


def _begun(history: History) -> str:
    """The run's id, once it computes."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        for run in history.runs(1):
            if run.completed_iterations > 1:
                return run.id
        time.sleep(0.1)
    raise RuntimeError(f"The training has not begun in {START_SECONDS:g} seconds.")


@contextmanager
def _training(database: Database, place: Path) -> Iterator[None]:
    """The training, on the first core."""
    with _process([TAPEWORKS, "train", *OPTIONS.split()], database, place, core=0):
        yield


@contextmanager
def _served(database: Database, place: Path) -> Iterator[str]:
    """The web page, on the second core; its address."""
    with _process([TAPEWORKS, "web", "--port", "0"], database, place, core=1) as process:
        yield process.stdout.readline().decode().strip() if process.stdout else ""


@contextmanager
def _process(
    command: Sequence[str], database: Database, place: Path, core: int
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command,
        env=environment(TAPEWORKS_DATABASE_URL=database.address),
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    cores.pin(process.pid, core)
    with process:
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def _clients(*urls: str) -> Iterator[subprocess.Popen[bytes]]:
    """The clients, beside the web page; they wait until they are resumed."""
    command = [sys.executable, "-m", "benchmarks.polling_clients", str(PAGES), *urls]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=pipe, stdout=pipe)
    cores.pin(process.pid, 1)
    try:
        if process.stdout:
            process.stdout.readline()  # all are ready
        yield process
    finally:
        process.kill()  # which a suspended one heeds, too
        process.wait()


def _end(clients: subprocess.Popen[bytes]) -> int:
    """Return how many polls were answered."""
    out, _ = clients.communicate(b"\n")
    return int(out)


if __name__ == "__main__":
    main()
