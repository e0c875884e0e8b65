"""A checking process's side of its pipes: its progress to the parent, its prints to files."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import resource
import signal
import threading
from pathlib import Path
from typing import IO, Any

#: The files beside a process's working directory: prints, errors, and tracebacks of what ends it.
PRINTED, ERRORS, DUMP = "printed", "errors", "dump"

#: Seconds in which a process must begin, and TensorFlow be loaded.
START_SECONDS = 120.0

#: Bytes of any file that it may write: its parameters take 32 MiB, a loop that prints takes all.
LARGEST_FILE_BYTES = 256 * 2**20

#: What Linux adds to a process's size as it looks for one to end because memory is short.
FIRST_TO_END = "1000"


class Reports:
    """Tells the parent which part of the check is running, and ends a part that takes too long."""

    def __init__(self, place: Path, stage_seconds: float) -> None:
        self._pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._dump: IO[str] = (place / DUMP).open("w")
        self._seconds = stage_seconds
        printed = os.open(place / PRINTED, os.O_WRONLY | os.O_CREAT)
        os.dup2(printed, 1)
        os.close(printed)
        faulthandler.enable(self._dump)
        self._number = 0

    def begin(self, number: int) -> None:
        """Go over to the next study."""
        self._number = number

    def stage(self, name: str, seconds: float | None = None) -> None:
        """Report a part of the check as it begins; this process ends if it takes too long."""
        limit = self._seconds if seconds is None else seconds
        faulthandler.dump_traceback_later(limit, exit=True, file=self._dump)
        self._send({"stage": name, "seconds": limit})

    def answer(self, answer: dict[str, Any]) -> None:
        """Report what was found."""
        faulthandler.cancel_dump_traceback_later()
        self._send({"answer": answer})

    def _send(self, message: dict[str, Any]) -> None:
        self._pipe.write(json.dumps(message | {"number": self._number}) + "\n")
        self._pipe.flush()


def end_with_parent() -> None:
    """End this process and its children as soon as the parent has gone.

    Where memory is short Linux ends it before any other; a crash leaves no file.
    """
    lifeline, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_wait_for_end, args=(lifeline,), daemon=True).start()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE_BYTES, LARGEST_FILE_BYTES))
    with contextlib.suppress(OSError):  # not Linux
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_END)


def _wait_for_end(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    os.killpg(0, signal.SIGKILL)
