"""The two processes of the check as their parent sees them."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from tapeworks.model.hash_order import VALUE, VARIABLE
from tapeworks.model.networks.own.check.reports import ERRORS, START_SECONDS

#: The file that says what to check.
REQUEST = "request.json"

#: The processes by name; the first one keeps what it finds.
KEEPER, WITNESS = "keeper", "witness"

#: Seconds by which a process may be late with its own end.
GRACE_SECONDS = 10.0

#: Seconds in which the last of a killed process's messages are read, unless its child, which has
#: left its group, holds the pipe.
READER_SECONDS = 1.0

#: The first stage.
START = "start of the process"


class Ended(Exception):
    """A process has ended, or was silent for too long, before it gave an answer."""

    def __init__(self, place: Path, stage: str, code: int | None) -> None:
        super().__init__(stage)
        self.place = place  #: of its files
        self.stage = stage  #: what was running
        self.code = code  #: None: it is still running


class Pair:
    """Two processes that check the same studies at the same time; they end with the block."""

    def __init__(self, place: Path, first: int, stage_seconds: float) -> None:
        self._mailbox: queue.Queue[tuple[_Process, dict[str, Any] | None]] = queue.Queue()
        self._arguments = place, first, stage_seconds
        self._processes: list[_Process] = []

    def __enter__(self) -> Pair:
        try:
            for name in (KEEPER, WITNESS):
                self._processes.append(_Process(name, *self._arguments, self._mailbox))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._end()

    @property
    def kept(self) -> Path:
        """The directory of the first process's files."""
        return self._processes[0].place

    def answers(self, number: int) -> list[dict[str, Any]]:
        """Wait for the answers of both to a study. Raises `Ended`."""
        while waiting := [one for one in self._processes if number not in one.answers]:
            for process in waiting:
                process.check_end()
            deadline = min(process.deadline for process in waiting)
            try:
                process, message = self._mailbox.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                late = min(waiting, key=lambda one: one.deadline)
                raise late.ended() from None
            process.take(message)
        return [process.answers[number] for process in self._processes]

    def _end(self) -> None:
        for process in self._processes:
            process.end()


class _Process:
    def __init__(
        self,
        name: str,
        place: Path,
        first: int,
        stage_seconds: float,
        mailbox: queue.Queue[tuple[_Process, dict[str, Any] | None]],
    ) -> None:
        self.place = place / f"{name}-{first}"
        self.answers: dict[int, dict[str, Any]] = {}
        self._stage, self._is_over = START, False
        self.deadline = time.monotonic() + START_SECONDS
        self._start([str(place), str(self.place), str(first), str(stage_seconds)], name)
        self._reader = threading.Thread(target=self._read, args=(mailbox,), daemon=True)
        self._reader.start()

    def take(self, message: dict[str, Any] | None) -> None:
        """Note a message, or the end of messages."""
        seconds = START_SECONDS if message is None else message.get("seconds", START_SECONDS)
        self.deadline = time.monotonic() + seconds + GRACE_SECONDS
        if message is None:
            self._is_over = True
        elif "answer" in message:
            self.answers[message["number"]] = message["answer"]
        else:
            self._stage = message["stage"]

    def check_end(self) -> None:
        """Raise `Ended` if nothing more comes."""
        if self._is_over:
            raise self.ended()

    def ended(self) -> Ended:
        """The end of it, with its exit code if it has one."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_SECONDS if self._is_over else 0)
        return Ended(self.place, self._stage, self._process.returncode)

    def end(self) -> None:
        """Kill it, with its children."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join(READER_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not self._reader.is_alive():
                pipe.close()

    def _start(self, arguments: list[str], name: str) -> None:
        """Start it in a directory without modules and files that a worker would not have."""
        work = self.place / "work"
        work.mkdir(parents=True)
        module = "tapeworks.model.networks.own.check.child"
        with (self.place / ERRORS).open("wb") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - this program
                [sys.executable, "-P", "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=work,
                env=os.environ | {VARIABLE: _hash_seed(name), "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # Ctrl-C is for the parent, which ends it
            )

    def _read(self, mailbox: queue.Queue[tuple[_Process, dict[str, Any] | None]]) -> None:
        with contextlib.suppress(ValueError):  # it ended in the midst of a line, or was closed
            for line in self._process.stdout or ():
                mailbox.put((self, json.loads(line)))
        mailbox.put((self, None))


def _hash_seed(name: str) -> str:
    """That of all processes for the one; another for the other, which orders sets otherwise."""
    return VALUE if name == KEEPER else "1"
