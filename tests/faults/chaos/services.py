"""Programs that are started again when they end, as systemd or Compose would do."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.processes import ROOT
from tests.faults.chaos.journal import Journal

#: Seconds before a program that ended by itself is started again.
RESTART_SECONDS = 1.0

#: Signals by what the journal calls them.
KILL, PAUSE, GO_ON = signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT


class Service:
    """A program with its process, which others may kill."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        journal: Journal,
    ) -> None:
        self.name = name
        self._command, self._environment = list(command), dict(environment)
        self._log = (directory / f"{name}.log").open("ab")
        self._directory, self._journal = directory, journal
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0
        self._family: set[psutil.Process] = set()

    @property
    def pid(self) -> int | None:
        """Its process, while that lives."""
        alive = self._process is not None and self._process.poll() is None
        return self._process.pid if alive and self._process else None

    def start(self) -> None:
        """Start the program."""
        self._process = subprocess.Popen(
            self._command,
            env=self._environment | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        self._journal.write("started", process=self.name, pid=self._process.pid)

    def look(self) -> None:
        """Start the program again if it ended by itself, or was killed long enough ago."""
        if self.pid is not None:
            return
        now = time.monotonic()
        if self._process is not None:
            code, self._process = self._process.wait(), None
            self._not_before = max(self._not_before, now + RESTART_SECONDS)
            self._journal.write("ended", process=self.name, code=code)
        if now >= self._not_before:
            self.start()

    def kill(self, down_seconds: float) -> float:
        """SIGKILL, and when that was; `look` starts it again after so many seconds."""
        self.children()
        killed_at = time.time()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._not_before = time.monotonic() + down_seconds
        self._journal.write("killed", killed_at, process=self.name)
        return killed_at

    def children(self) -> list[psutil.Process]:
        """The processes that it has started and that live, oldest first."""
        found: list[psutil.Process] = []
        if self.pid is not None:
            with suppress(psutil.NoSuchProcess):
                found = psutil.Process(self.pid).children(recursive=True)
        self._family |= set(found)
        return sorted(filter(lives, found), key=lambda process: process.create_time())

    def close(self) -> None:
        """End it and all that it ever started."""
        self.children()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        for process in self._family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._log.close()


def lives(process: psutil.Process) -> bool:
    """Return whether it runs; a zombie has ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def send(pid: int, number: signal.Signals) -> bool:
    """Signal a process; whether it was there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
