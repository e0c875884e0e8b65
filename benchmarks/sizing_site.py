"""A scheduler, a worker and a Redis, and what each of them has used so far."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import psutil
import redis

from benchmarks.processes import ROOT, TAPEWORKS, environment, run
from storage.database import Database
from storage.history import History
from storage.housekeeping import table_sizes
from storage.records import RunStatus
from tapeworks.redis_server import RedisServer

#: Seconds between two looks at a run and at Redis' memory.
LOOK_SECONDS = 0.02

#: Seconds for the programs to start, and for them to end.
START_SECONDS, STOP_SECONDS = 60.0, 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """What a run used, or one of its iterations."""

    in_bytes: float  #: that Redis received
    out_bytes: float  #: that Redis sent
    memory_bytes: float  #: of Redis, at the most, beyond what it had before
    database_bytes: float  #: rows of iterations
    worker_seconds: float  #: of processor time, as are the next two
    scheduler_seconds: float
    redis_seconds: float

    def beyond(self, other: Costs, iterations: int) -> Costs:
        """What each of so many further iterations used; of memory, what the run needed."""
        values = {
            field.name: (getattr(self, field.name) - getattr(other, field.name)) / iterations
            for field in fields(self)
        }
        return Costs(**values | {"memory_bytes": max(self.memory_bytes, other.memory_bytes)})


class Site:
    """Starts everything on entering, is gone on leaving."""

    def __init__(self, place: Path, data: str) -> None:
        self._place, self._data = place, data
        self._stack = ExitStack()
        self._database = place / "runs.db"

    def __enter__(self) -> Site:
        server = self._stack.enter_context(RedisServer())
        self._places = {
            "TAPEWORKS_REDIS_URL": server.url,
            "TAPEWORKS_DATABASE_URL": str(self._database),
            "TAPEWORKS_DATA_DIR": self._data,
        }
        self._redis = redis.Redis.from_url(server.url)
        self._stack.callback(self._redis.close)
        self._history = History(Database(self._database))
        self._stack.callback(self._history.database.close)
        run([TAPEWORKS, "db", "upgrade"], **self._places)
        self._scheduler = self._start("scheduler")
        self._worker = self._start("worker")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, form: str, images: int, iterations: int) -> Costs:
        """Drive a run to its end."""
        before, at_first = self._used(), self._memory_bytes()
        options = f"--dataset mnist --images {images} --test-images 0 --iterations {iterations}"
        options += f" --gradients {form} --checkpoint-every {iterations}"
        run_id = run([TAPEWORKS, "submit", *options.split()], **self._places)[1].strip()
        most, deadline = at_first, time.monotonic() + START_SECONDS + iterations
        while not (found := self._history.find_run(run_id)).status.is_finished:
            most = max(most, self._memory_bytes())
            if time.monotonic() > deadline:
                raise RuntimeError(f"Run {run_id} does not end.")
            time.sleep(LOOK_SECONDS)
        if found.status is not RunStatus.COMPLETED:
            raise RuntimeError(f"Run {run_id} is {found.status}.")
        used = {name: value - before[name] for name, value in self._used().items()}
        return Costs(memory_bytes=most - at_first, **used)

    def memory_bytes(self) -> tuple[float, float]:
        """Resident memory of the worker process and of the scheduler."""
        [worker] = psutil.Process(self._worker.pid).children()
        return worker.memory_info().rss, psutil.Process(self._scheduler.pid).memory_info().rss

    def _memory_bytes(self) -> int:
        return int(self._redis.info("memory")["used_memory"])

    def _used(self) -> dict[str, float]:
        stats: dict[str, Any] = self._redis.info("stats") | self._redis.info("cpu")
        return {
            "in_bytes": stats["total_net_input_bytes"],
            "out_bytes": stats["total_net_output_bytes"],
            "redis_seconds": stats["used_cpu_user"] + stats["used_cpu_sys"],
            "database_bytes": self._stored_bytes(),
            "worker_seconds": sum(
                map(_cpu_seconds, psutil.Process(self._worker.pid).children(recursive=True))
            ),
            "scheduler_seconds": _cpu_seconds(psutil.Process(self._scheduler.pid)),
        }

    def _stored_bytes(self) -> int:
        sizes = {one.table: one.bytes for one in table_sizes(self._history.database)}
        return sizes["stored_iterations"]

    def _start(self, command: str) -> subprocess.Popen[bytes]:
        """A command, ready for runs."""
        log = self._stack.enter_context((self._place / f"{command}.log").open("w+b"))
        process = subprocess.Popen(
            [TAPEWORKS, command],
            env=environment(**self._places),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._stack.callback(_stop, process)
        return process


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
