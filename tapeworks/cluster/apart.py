"""Work for a program in a process of its own.

A program may have loaded TensorFlow with other settings, orders sets in its own way, and handles
signals itself: none of it reaches what is computed there, and nothing of that reaches the program.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import IO, Any

from tapeworks.errors import UsageError, restore_error
from tapeworks.model.hash_order import VALUE, VARIABLE
from tapeworks.wire.errors import WorkerExited
from tapeworks.workers.foreign import without_foreign

#: The file of a run's parameters in the directory that a task names.
PARAMETERS_FILE = "parameters.safetensors"

#: Seconds that the process has to end in after its task: its workers finish what they have in hand.
END_SECONDS = 15.0


class Apart:
    """A process that does one task; it ends with the process that started it, however that ends."""

    def __init__(self, task: str, asked: Mapping[str, Any]) -> None:
        """Start it. Raises `UsageError` where no process can be started.

        What is asked may hold a password: only that process reads it, and none that it starts.
        """
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tapeworks.cluster.apart_process"],
                env={**without_foreign(os.environ), VARIABLE: VALUE},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C in a terminal reaches the program alone
            )
        except OSError as error:  # no more processes, no more memory
            raise UsageError(f"No process can be started: {error.strerror}.") from error
        self._messages = SimpleQueue[dict[str, Any] | None]()
        threading.Thread(target=self._read, daemon=True).start()
        with suppress(OSError):  # it has ended, which is found when its messages are
            _pipe(self._process.stdin).write(json.dumps({"task": task, **asked}).encode() + b"\n")
            _pipe(self._process.stdin).flush()

    def poll(self, seconds: float) -> dict[str, Any] | None:
        """Return its next message, None if there is none so soon.

        A message holds what is `told` meanwhile, or the `result`. Raises the error that the
        process met, or `WorkerExited` when it has ended without a word.
        """
        try:
            message = self._messages.get(timeout=seconds)
        except Empty:
            return None
        if message is None:
            code = self._process.wait()
            raise WorkerExited(f"The process that computes ended unasked, with exit code {code}.")
        if "error" in message:
            name, sentence = message["error"], message["sentence"]
            raise restore_error(name, sentence) or UsageError(sentence)
        return message

    def wait(self, tell: Callable[[str], None]) -> Any:
        """Return the result of the task. Raises like `poll`."""
        while "result" not in (message := self.poll(END_SECONDS) or {}):
            if "told" in message:
                tell(message["told"])
        return message["result"]

    def interrupt(self) -> None:
        """Ask it to stop in order; the second time at once."""
        self._process.terminate()

    def end(self) -> None:
        """End it; nothing that it started is left."""
        with self._process:
            with suppress(OSError):
                _pipe(self._process.stdin).close()
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
            except KeyboardInterrupt:
                self._process.kill()
                raise

    def _read(self) -> None:
        for line in _pipe(self._process.stdout):
            self._messages.put(json.loads(line))
        self._messages.put(None)


@contextmanager
def work_apart(task: str, asked: Mapping[str, Any]) -> Iterator[Apart]:
    """Have a task done in a process that has ended when the block is left, whatever leaves it."""
    process = Apart(task, asked)
    try:
        yield process
    finally:
        process.end()


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    assert end is not None  # noqa: S101 - both are asked for
    return end
