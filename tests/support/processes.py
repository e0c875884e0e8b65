"""The command line as processes of its own, none of which outlives its test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.waiting import DEADLINE_SECONDS, until

#: The code under test is the one beside these tests, also where another is installed.
ROOT = Path(__file__).resolve().parents[2]

#: Starts a process; what it says is kept.
Start = Callable[..., "Started"]


@dataclass
class Started:
    """A `tapeworks` process, or a worker's, in a session of its own."""

    process: subprocess.Popen[bytes]
    directory: Path
    name: str
    family: set[psutil.Process] = field(default_factory=set)

    @property
    def out(self) -> str:
        """Return what it wrote to stdout so far."""
        return (self.directory / f"{self.name}.out").read_text()

    @property
    def err(self) -> str:
        """Return what it wrote to stderr so far."""
        return (self.directory / f"{self.name}.err").read_text()

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def says(self, words: str) -> bool:
        """Return whether it wrote these words to stderr; it must not have ended without them."""
        if words in self.err:
            return True
        assert self.process.poll() is None, f"{self.name} ended early: {self.err}"
        return False

    def ended(self) -> int:
        """Its exit code, when it is over."""
        try:
            return self.process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{self.name} does not end. It said: {self.err}") from error

    def descendants(self) -> set[psutil.Process]:
        """All processes that it has started and that were seen so far, whoever owns them now."""
        with suppress(psutil.NoSuchProcess):
            self.family |= set(psutil.Process(self.process.pid).children(recursive=True))
        return self.family

    def left_behind(self) -> list[str]:
        """Those of its descendants that are alive, by their command lines."""
        return [" ".join(process.cmdline()) for process in self.descendants() if alive(process)]

    def kill(self) -> None:
        """End it and all that it started, for good."""
        family = self.descendants()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def alive(process: psutil.Process) -> bool:
    """Return whether it runs; a zombie has ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _runs(process: psutil.Process, module: str) -> bool:
    with suppress(psutil.NoSuchProcess):  # which it may become at any moment
        return process.cmdline()[-1:] == [module]
    return False


def all_gone(started: Started) -> None:
    """Wait until nothing that the process started is alive."""
    until(lambda: not started.left_behind(), f"{started.name} leaves no process behind")


def workers_of(started: Started) -> list[psutil.Process]:
    """Its worker processes that live."""
    return [one for one in started.descendants() if alive(one) and _runs(one, "tapeworks.workers")]


@contextmanager
def processes(directory: Path, environment: Mapping[str, str]) -> Iterator[Start]:
    """Gives the function that starts `tapeworks` processes; all of them are ended afterwards.

    With `module="tapeworks.workers"` it starts a worker's process, which nobody starts again.
    """
    every: list[Started] = []

    def start(*arguments: str, module: str = "tapeworks", **variables: str) -> Started:
        name = f"{len(every)}-{[*arguments, module][0]}"
        out, err = directory / f"{name}.out", directory / f"{name}.err"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *arguments],
                env=os.environ | environment | variables | {"PYTHONPATH": str(ROOT)},
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        every.append(Started(process, directory, name))
        return every[-1]

    try:
        yield start
    finally:
        for started in every:
            started.kill()
