"""A Redis, a scheduler and workers as processes of their own, and what a run takes of them."""

from __future__ import annotations

import json
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import psutil
import redis

from benchmarks.chaos.network import LOOPBACK
from benchmarks.chaos.redis_process import RedisProcess
from benchmarks.cores import pin
from benchmarks.pacing.points import MICROBATCH_IMAGES, Point
from benchmarks.processes import ROOT, TAPEWORKS, environment, run
from benchmarks.train_run import WARM_UP, read_history

#: Seconds between two looks at a run and at what processes have used, or at who is ready.
LOOK_SECONDS = 0.25

#: Seconds for workers to get ready, and for a run beyond ten times what it would take at best.
START_SECONDS, RUN_SECONDS = 120.0, 60.0

#: Seconds for a process to end when its input has.
STOP_SECONDS = 10.0

#: Pings that tell how long a round trip takes.
PINGS = 200

SCHEDULER, REDIS, WORKERS, DELAY = "scheduler", "redis", "workers", "delay"


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a run has used up to some moment."""

    iterations: int
    processor: Mapping[str, float]  #: seconds, by the kind of process


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One run."""

    periods: list[float]  #: seconds from one iteration's start to the next one's
    processor: Mapping[str, float]  #: seconds that an iteration takes, by the kind of process
    sent_again: int  #: attempts beyond one for each shard
    round_trip: float  #: seconds that were added between the scheduler and Redis


class Site:
    """Place for one run; all that was started is gone on leaving."""

    def __init__(self, place: Path, *, round_trip_ms: int = 0, apart: bool = False) -> None:
        """Let the scheduler's way to Redis take so much longer, or have it a core `apart`."""
        self._place, self._round_trip_ms, self._apart = place, round_trip_ms, apart
        self._stack, self._processes = ExitStack(), dict[str, psutil.Process]()
        self._database = place / "runs.db"
        self._variables = {"TAPEWORKS_DATABASE_URL": str(self._database)}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start_workers(self, module: str, count: int, seconds: float) -> None:
        """Have this module be so many workers, ready for runs."""
        command = [sys.executable, "-m", module, str(count), str(seconds)]
        self._spawn(WORKERS, command, self._redis_url)
        deadline = time.monotonic() + START_SECONDS
        while self._ready() < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{count} workers do not get ready: {self._said(WORKERS)}")
            time.sleep(LOOK_SECONDS)

    def run(self, point: Point, iterations: int) -> Measured:
        """Drive a run of this point to its end."""
        self._submit(point, iterations)
        first, last = self._observe(10 * iterations * point.ideal_seconds + RUN_SECONDS)
        count = last.iterations - first.iterations
        used = {name: last.processor[name] - before for name, before in first.processor.items()}
        return Measured(
            periods=read_history(self._database)[0],
            processor={name: seconds / count for name, seconds in used.items()},
            sent_again=self._ask("SELECT sum(attempts - shards) FROM iterations"),
            round_trip=_round_trip(self._scheduler_url) - _round_trip(self._redis_url),
        )

    def _start(self) -> None:
        server = RedisProcess(self._place, LOOPBACK, [])
        self._stack.callback(server.close)
        server.start()
        self._note(REDIS, server.pid)
        self._redis_url = self._scheduler_url = server.url(LOOPBACK)
        if self._round_trip_ms:
            self._scheduler_url = server.url(LOOPBACK, self._start_delay(server.port))
        run([TAPEWORKS, "db", "upgrade"], **self._variables)
        self._spawn(SCHEDULER, [TAPEWORKS, "scheduler"], self._scheduler_url)

    def _start_delay(self, port: int) -> int:
        seconds = self._round_trip_ms / 2000
        command = [sys.executable, "-m", "benchmarks.pacing.delay", str(port), str(seconds)]
        self._spawn(DELAY, command, self._redis_url)
        while not (said := self._said(DELAY)).endswith("\n"):
            time.sleep(LOOK_SECONDS)
        return int(said)

    def _spawn(self, name: str, command: Sequence[str], redis_url: str) -> None:
        log = self._stack.enter_context((self._place / f"{name}.log").open("wb"))
        process = subprocess.Popen(
            command,
            env=environment(**self._variables, TAPEWORKS_REDIS_URL=redis_url),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._stack.callback(_stop, name, process)
        self._note(name, process.pid)

    def _note(self, name: str, pid: int | None) -> None:
        self._processes[name] = psutil.Process(pid)
        if self._apart and pid:
            pin(pid, 0 if name == SCHEDULER else 1)

    def _said(self, name: str) -> str:
        return (self._place / f"{name}.log").read_text(errors="replace")[-2000:]

    def _ready(self) -> int:
        url = {"TAPEWORKS_REDIS_URL": self._redis_url}
        workers = json.loads(run([TAPEWORKS, "workers", "--json"], **url)[1])
        return sum(1 for worker in workers if worker["fingerprint"])

    def _submit(self, point: Point, iterations: int) -> None:
        """Queue a run over images that show nothing."""
        data, source = self._place / "images.npz", np.random.default_rng(1)
        images = source.integers(0, 256, (point.images, 28, 28)).astype(np.uint8)
        np.savez(data, images=images, labels=np.resize([3, 6], point.images))
        options = f"--dataset {data} --images {point.images} --iterations {iterations}"
        options += f" --gradients summed --shards {point.shards}"
        options += f" --microbatch-size {MICROBATCH_IMAGES}"
        run([TAPEWORKS, "submit", *options.split()], **self._variables)

    def _observe(self, seconds: float) -> tuple[Usage, Usage]:
        """What was used when the run was warm, and the last time that it was seen in progress."""
        families = {name: [one, *one.children()] for name, one in self._processes.items()}
        seen, deadline = list[Usage](), time.monotonic() + seconds
        while (status := self._ask("SELECT status FROM runs")) != "completed":
            if status not in {"queued", "running"} or time.monotonic() > deadline:
                raise RuntimeError(f"The run is {status}: {self._said(SCHEDULER)}")
            done = self._ask("SELECT completed_iterations FROM runs")
            if done >= WARM_UP:
                used = {name: sum(map(_processor, family)) for name, family in families.items()}
                seen.append(Usage(iterations=done, processor=used))
            time.sleep(LOOK_SECONDS)
        return seen[0], seen[-1]

    def _ask(self, query: str) -> Any:
        with closing(sqlite3.connect(self._database)) as connection:
            return connection.execute(query).fetchone()[0]


def _processor(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _round_trip(url: str) -> float:
    with closing(redis.Redis.from_url(url)) as client:
        return statistics.median(_ping(client) for _ in range(PINGS))


def _ping(client: redis.Redis) -> float:
    began = time.perf_counter()
    client.ping()
    return time.perf_counter() - began


def _stop(name: str, process: subprocess.Popen[bytes]) -> None:
    """End it by its input, the scheduler by a signal."""
    if process.stdin is not None:
        process.stdin.close()
    if name == SCHEDULER:
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
