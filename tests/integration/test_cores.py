"""Worker processes that are kept on cores of their own, and those that are not."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tapeworks.cluster.redis_server import RedisServer
from tapeworks.wire.exchange import Exchange
from tapeworks.workers.cores import core_count
from tapeworks.workers.supervisor import Supervisor
from tests.support.processes import Start, Started, processes, workers_of
from tests.support.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not hasattr(os, "sched_setaffinity"), reason="this system keeps no process on a core"
    ),
]

#: Makes a supervisor of so many workers and starts it; it is stopped with the test.
Supervise = Callable[..., Supervisor]


@pytest.fixture
def cores() -> Iterator[set[int]]:
    """Two cores, or the only one, which this test and what it starts may use."""
    every = os.sched_getaffinity(0)
    some = set(sorted(every)[:2])
    os.sched_setaffinity(0, some)
    yield some
    os.sched_setaffinity(0, every)


@pytest.fixture
def redis_url() -> Iterator[str]:
    with RedisServer() as server:
        yield server.url


@pytest.fixture
def supervise(redis_url: str, tmp_path: Path) -> Iterator[Supervise]:
    made: list[Supervisor] = []
    with (tmp_path / "log").open("wb") as log:

        def supervise(count: int, *, pinned: bool = True) -> Supervisor:
            made.append(Supervisor(redis_url, count, log, pinned=pinned))
            made[-1].start()
            return made[-1]

        yield supervise
        for supervisor in made:
            supervisor.stop(drain_seconds=0.0)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with processes(tmp_path, {"HOME": str(tmp_path)}) as start:
        yield start


def cores_of(process: int) -> list[set[int]]:
    """The cores that each thread of a process may use."""
    found = []
    for thread in psutil.Process(process).threads():
        with suppress(ProcessLookupError):  # it has ended
            found.append(os.sched_getaffinity(thread.id))
    return found


def core_of(process: int) -> int:
    """The one core that all threads of a process may use."""
    [core] = set.union(*cores_of(process))
    return core


def places(supervisor: Supervisor) -> list[int]:
    return [process for process in supervisor.places if process]


def test_as_many_workers_as_cores_have_one_each_with_all_their_threads(
    supervise: Supervise, redis_url: str, cores: set[int]
) -> None:
    supervisor, exchange = supervise(len(cores)), Exchange(redis_url)
    until(lambda: len(supervisor.ready(exchange.workers())) == len(cores), "they are ready")
    assert {core_of(process) for process in places(supervisor)} == cores
    assert os.sched_getaffinity(0) == cores, "the supervisor may use all"
    assert {worker.cores for worker in exchange.workers()} == {len(cores)}


def test_a_worker_that_is_started_again_has_the_core_of_the_one_before(
    supervise: Supervise, cores: set[int]
) -> None:
    supervisor = supervise(len(cores))
    before = places(supervisor)
    had = [core_of(process) for process in before]
    os.kill(before[-1], signal.SIGKILL)
    until(lambda: len(set(places(supervisor)) - set(before)) == 1, "another is started")
    until(lambda: [core_of(process) for process in places(supervisor)] == had, "it has that core")


@pytest.mark.parametrize("more", [-1, 1])
def test_fewer_or_more_workers_than_cores_are_placed_by_the_system(
    more: int, supervise: Supervise, cores: set[int]
) -> None:
    supervisor = supervise(len(cores) + more)
    assert all(each == cores for process in places(supervisor) for each in cores_of(process))


def test_workers_that_are_not_to_be_pinned_are_placed_by_the_system(
    supervise: Supervise, cores: set[int]
) -> None:
    supervisor = supervise(len(cores), pinned=False)
    assert all(each == cores for process in places(supervisor) for each in cores_of(process))


def test_a_core_that_was_taken_away_keeps_no_worker_from_starting(
    supervise: Supervise, cores: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapeworks.workers.supervisor.cores_for", lambda count: [4096] * count)
    supervisor = supervise(1)
    [process] = places(supervisor)
    assert all(each == cores for each in cores_of(process))


def test_a_system_without_affinity_starts_workers_as_ever(
    supervise: Supervise, cores: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert core_count() == os.cpu_count()
    supervisor = supervise(len(cores))
    monkeypatch.undo()
    assert len(places(supervisor)) == len(cores)
    assert all(each == cores for process in places(supervisor) for each in cores_of(process))


def started(start: Start, command: str, cores: set[int], redis_url: str, *options: str) -> Started:
    """The command with a worker for each core, all of which have been started."""
    flags = {"worker": ["--processes"], "train": ["--iterations", "100000", "--workers"]}
    words = [command, *flags[command], str(len(cores)), *options]
    database = {"TAPEWORKS_DATABASE_URL": "runs.db"} if command == "train" else {}
    made, exchange = start(*words, TAPEWORKS_REDIS_URL=redis_url, **database), Exchange(redis_url)
    until(lambda: len(exchange.workers()) == len(cores), "they show themselves")
    return made


@pytest.mark.parametrize("command", ["worker", "train"])
def test_the_commands_pin_their_workers_and_nothing_else(
    command: str, start: Start, redis_url: str, cores: set[int]
) -> None:
    made = started(start, command, cores, redis_url)
    assert {core_of(worker.pid) for worker in workers_of(made)} == cores
    assert set.union(*cores_of(made.process.pid)) == cores


@pytest.mark.parametrize("command", ["worker", "train"])
def test_with_no_pin_the_commands_pin_nothing(
    command: str, start: Start, redis_url: str, cores: set[int]
) -> None:
    made = started(start, command, cores, redis_url, "--no-pin")
    workers = workers_of(made)
    assert len(workers) == len(cores)
    assert all(each == cores for worker in workers for each in cores_of(worker.pid))
