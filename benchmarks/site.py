"""A Redis, a scheduler and workers as processes of their own, and one run of theirs."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Self

import psutil

from benchmarks.cores import pin
from benchmarks.processes import ROOT, TAPEWORKS, environment, run
from tapeworks.wire.exchange import Exchange
from tests.faults.chaos.network import LOOPBACK
from tests.faults.chaos.redis_process import RedisProcess

#: Seconds between two looks at a run, or at who is ready.
LOOK_SECONDS = 0.25

#: Seconds for workers to get ready, and for a process to end when it is asked to.
START_SECONDS, STOP_SECONDS = 120.0, 10.0

SCHEDULER, REDIS, WORKERS, DELAY = "scheduler", "redis", "workers", "delay"


class Site:
    """Place for one run; all of it is gone on leaving."""

    def __init__(self, *, round_trip_ms: int = 0, apart: bool = False) -> None:
        """Let the scheduler's way to Redis take so much longer, or have it a core `apart`."""
        self._round_trip_ms, self._apart = round_trip_ms, apart
        self._stack, self._processes = ExitStack(), dict[str, psutil.Process]()
        self._directory = tempfile.TemporaryDirectory(prefix="tapeworks-bench-")
        self.place = Path(self._directory.name)  #: for files
        self.database = self.place / "runs.db"
        self._variables = {"TAPEWORKS_DATABASE_URL": str(self.database)}

    def __enter__(self) -> Self:
        self._stack.enter_context(self._directory)
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start_workers(self, command: Sequence[str], count: int) -> None:
        """Start a command that is so many workers; wait until they and the scheduler are ready."""
        self._spawn(WORKERS, command, self.redis_url)
        exchange, deadline = Exchange(self.redis_url), time.monotonic() + START_SECONDS
        while not _are_ready(exchange, count):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{count} workers do not get ready: {self._said(WORKERS)}")
            time.sleep(LOOK_SECONDS)

    def submit(self, options: str) -> None:
        """Queue a run with these options."""
        run([TAPEWORKS, "submit", *options.split()], **self._variables)

    def follow(self, seconds: float, look_seconds: float = LOOK_SECONDS) -> Iterator[int]:
        """The run's committed iterations, whenever there are more, until it is completed.

        Raises if it ends otherwise, or not within so many seconds.
        """
        seen, deadline = -1, time.monotonic() + seconds
        query = "SELECT status, completed_iterations FROM runs"
        while (found := self.ask(query))[0] != "completed":
            status, done = found
            if status not in {"queued", "running"} or time.monotonic() > deadline:
                raise RuntimeError(f"The run is {status}: {self._said(SCHEDULER)}")
            if done > seen:
                seen = done
                yield done
            time.sleep(look_seconds)

    def families(self) -> dict[str, list[psutil.Process]]:
        """Return each process that was started, with its children, by what it is."""
        return {name: [one, *one.children()] for name, one in self._processes.items()}

    def ask(self, query: str) -> Any:
        """The first row that the database has for this."""
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(query).fetchone()

    def _start(self) -> None:
        server = RedisProcess(self.place, LOOPBACK, [])
        self._stack.callback(server.close)
        server.start()
        self._note(REDIS, server.pid)
        self.redis_url = self.scheduler_url = server.url(LOOPBACK)
        if self._round_trip_ms:
            self.scheduler_url = server.url(LOOPBACK, self._start_delay(server.port))
        run([TAPEWORKS, "db", "upgrade"], **self._variables)
        self._spawn(SCHEDULER, [TAPEWORKS, "scheduler"], self.scheduler_url)

    def _start_delay(self, port: int) -> int:
        seconds = self._round_trip_ms / 2000
        command = [sys.executable, "-m", "benchmarks.pacing.delay", str(port), str(seconds)]
        self._spawn(DELAY, command, self.redis_url)
        while not (said := self._said(DELAY)).endswith("\n"):
            time.sleep(LOOK_SECONDS)
        return int(said)

    def _spawn(self, name: str, command: Sequence[str], redis_url: str) -> None:
        log = self._stack.enter_context((self.place / f"{name}.log").open("wb"))
        process = subprocess.Popen(
            command,
            env=environment(**self._variables, TAPEWORKS_REDIS_URL=redis_url),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._stack.callback(_stop, process, by_signal=command[0] == TAPEWORKS)
        self._note(name, process.pid)

    def _note(self, name: str, pid: int | None) -> None:
        self._processes[name] = psutil.Process(pid)
        if self._apart and pid:
            pin(pid, 0 if name == SCHEDULER else 1)

    def _said(self, name: str) -> str:
        return (self.place / f"{name}.log").read_text(errors="replace")[-2000:]


def _are_ready(exchange: Exchange, workers: int) -> bool:
    """See whether so many workers show that they are ready, and a scheduler itself."""
    ready = [worker for worker in exchange.workers() if worker.fingerprint]
    return len(ready) >= workers and bool(exchange.schedulers())


def _stop(process: subprocess.Popen[bytes], *, by_signal: bool) -> None:
    """End a command of ours by a signal, a program of the benchmarks by the end of its input."""
    if process.stdin is not None:
        process.stdin.close()
    if by_signal:
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
