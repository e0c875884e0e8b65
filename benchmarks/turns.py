"""Functions that wait in processes of their own, to be called by turns on one core."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.cores import CAN_PIN, core_of
from tapeworks.model.engine.memory import keep_freed_memory

#: What is built in the process, and called there.
Build = Callable[[], Callable[[], Any]]

#: Seconds that one measurement takes, about.
MEASURED_SECONDS = 0.4

#: Variables from which libraries take their number of threads.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class NotStartedError(Exception):
    """Raised for a process that ends, or takes too long, before its function was called once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A function that has been called once in its process, and waits there."""

    pipe: Connection

    def answer(self) -> Any:
        """Call it and return its result."""
        self.pipe.send("answer")
        return self.pipe.recv()

    def begin(self) -> None:
        """Have it measured, without waiting for `rate`."""
        self.pipe.send("measure")

    def rate(self) -> float:
        """Return its calls per second, as soon as they are measured."""
        return float(self.pipe.recv())

    def measure(self) -> float:
        """Call it for a moment and return its calls per second."""
        self.begin()
        return self.rate()

    def close(self) -> None:
        """Let its process end."""
        self.pipe.close()


def limit_threads() -> None:
    """Have libraries of this process and of those that it starts compute on one thread."""
    os.environ.update(dict.fromkeys(THREADS, "1"))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def start(build: Build, *, place: int = 0, seconds: float | None = None) -> Waiting:
    """Build a function in a new process on this core and call it once.

    Raises `NotStartedError` if that fails or takes longer than so many seconds.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, build, place), daemon=True)
    process.start()
    theirs.close()
    if not ours.poll(seconds):
        process.kill()
        raise NotStartedError(f"its first call took longer than {seconds:g} s")
    try:
        ours.recv()
    except EOFError:
        raise NotStartedError("its error stands above") from None
    return Waiting(pipe=ours)


def _serve(connection: Connection, build: Build, place: int) -> None:
    """Answer "answer" and "measure" until the other end is closed."""
    if CAN_PIN:
        os.sched_setaffinity(0, {core_of(place)})
    keep_freed_memory()  # as Tapeworks does; PyTorch gains by it too
    with contextlib.suppress(EOFError, KeyboardInterrupt, BrokenPipeError):
        call = build()
        call()
        connection.send("ready")
        while True:
            question = connection.recv()
            connection.send(call() if question == "answer" else _calls_per_second(call))


def _calls_per_second(call: Callable[[], Any]) -> float:
    calls, began, now = 0, time.perf_counter(), time.perf_counter()
    while now < began + MEASURED_SECONDS:
        call()
        calls, now = calls + 1, time.perf_counter()
    return calls / (now - began)
