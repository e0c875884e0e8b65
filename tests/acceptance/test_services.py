"""Scheduler, workers, submitters and watchers as processes of their own, coming and going."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tapeworks.model.config import RunConfig, run_config
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord, RunStatus
from tapeworks.wire.errors import RedisUnreachable
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.messages import WorkerRecord
from tapeworks.wire.redis_programs import executable
from tests.support.calls import Call
from tests.support.fleet import Fleet
from tests.support.processes import Start, Started, all_gone, workers_of
from tests.support.training import Digests, digests
from tests.support.waiting import until

pytestmark = pytest.mark.slow

#: So many that workers can come and go while they are computed.
ITERATIONS = 150

#: Those of two runs that are submitted one after the other.
SEEDS = (1, 2)


def answers(exchange: Exchange) -> bool:
    try:
        exchange.check()
    except RedisUnreachable:
        return False
    return True


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A Redis started by hand, with its default settings but for the port and its directory."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", ""]
    with (tmp_path / "redis.log").open("wb") as log:
        process = subprocess.Popen([str(executable()), *options], stdout=log, stderr=log)
    try:
        url = f"redis://127.0.0.1:{port}/0"
        until(lambda: answers(Exchange(url)), "Redis answers")
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def found(places: Path) -> Iterator[History]:
    """The history that the processes share."""
    history = History.open(places / "runs.db")
    yield history
    history.database.close()


def test_two_runs_are_completed_in_order_while_workers_come_and_go(
    redis_url: str,
    start: Start,
    call: Call,
    found: History,
    undisturbed: Callable[[RunConfig], Digests],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", redis_url)
    exchange = Exchange(redis_url)
    scheduler = start("scheduler")
    services = [start("worker"), start("worker")]
    until(lambda: len(ready_workers(exchange)) == 2, "two workers are ready")
    assert all(workers_of(service) for service in services)
    ids = [submit(call, seed) for seed in SEEDS]
    watcher = start("watch", ids[1])

    def completed(run: str) -> int:
        return found.find_run(run).completed_iterations

    # In the middle of the first run one worker leaves in order, and the other one hangs.
    until(lambda: completed(ids[0]) > 5, "the first run has begun")
    services[0].process.send_signal(signal.SIGTERM)
    [hanging] = workers_of(services[1])
    hanging.suspend()
    await_orderly_end(services[0])

    # A third one joins, and alone brings the run forward.
    third = start("worker")
    stands_at = completed(ids[0])
    assert stands_at < ITERATIONS
    until(lambda: completed(ids[0]) > stands_at + 5, "the third worker computes")
    [newcomer] = workers_of(third)
    hanging.resume()

    # In the middle of the second run one is killed, and its supervisor with it.
    until(lambda: completed(ids[1]) > 5, "the second run has begun")
    services[1].kill()
    assert completed(ids[1]) < ITERATIONS

    assert watcher.ended() == 0
    assert f"Run {ids[1]} is completed" in watcher.err
    assert f"iteration {ITERATIONS}/{ITERATIONS}" in watcher.err
    for service in (third, scheduler):
        service.interrupt()
        await_orderly_end(service)

    runs = [found.find_run(run) for run in ids]
    assert ended_before_the_next_began(runs)
    for run, seed in zip(runs, SEEDS, strict=True):
        check_completion(found, run, undisturbed(settings(seed)))
        assert str(newcomer.pid) in computed_by(found, run)
    assert "Traceback" not in scheduler.err + third.err + watcher.err
    assert scheduler.err.index(f"Run {ids[0]} begins") < scheduler.err.index(f"Run {ids[1]} begins")


def ready_workers(exchange: Exchange) -> list[WorkerRecord]:
    return [worker for worker in exchange.workers() if worker.fingerprint]


def settings(seed: int) -> RunConfig:
    return run_config({"images": 32, "iterations": ITERATIONS, "seed": seed})


def submit(call: Call, seed: int) -> str:
    submitted = call(f"submit --images 32 --shards 2 --iterations {ITERATIONS} --seed {seed}")
    assert submitted.code == 0
    return submitted.out.strip()


def await_orderly_end(service: Started) -> None:
    assert service.ended() == 130
    all_gone(service)


def check_completion(found: History, run: RunRecord, expected: Digests) -> None:
    assert run.status is RunStatus.COMPLETED
    assert digests(found, run.id) == expected
    kinds = [event.kind for event in found.events(run.id)]
    assert kinds[:2] == ["submitted", "claimed"]
    assert kinds[-1] == "completed"


def computed_by(found: History, run: RunRecord) -> set[str]:
    """The process ids of the workers whose answers were counted."""
    return {entry.worker.rpartition("-")[2] for entry in found.ledger(run.id)}


def ended_before_the_next_began(runs: list[RunRecord]) -> bool:
    before, after = runs
    assert before.ended_at is not None
    assert after.started_at is not None
    return before.created_at < after.created_at and before.ended_at <= after.started_at


def test_a_scheduler_that_is_interrupted_puts_its_run_back_and_another_goes_on(
    fleet: Fleet,
    start: Start,
    call: Call,
    found: History,
    undisturbed: Callable[[RunConfig], Digests],
) -> None:
    places = {"TAPEWORKS_REDIS_URL": fleet.redis_url}
    scheduler = start("scheduler", **places)
    [run] = call("submit --images 32 --iterations 1000 --shards 2").out.split()
    until(lambda: found.find_run(run).completed_iterations > 5, "the run has begun")
    scheduler.interrupt()
    assert scheduler.ended() == 130
    assert "Stopping after this iteration; once more to stop at once" in scheduler.err
    left = found.find_run(run)
    assert (left.status, left.owner) == (RunStatus.QUEUED, None)
    assert 5 < left.completed_iterations < 1000

    # The next scheduler is killed without a word, and a third one takes over what it left.
    killed = start("scheduler", **places)
    until(
        lambda: found.find_run(run).completed_iterations > left.completed_iterations + 5,
        "the run goes on",
    )
    killed.kill()
    assert found.find_run(run).completed_iterations < 1000
    start("scheduler", **places)
    until(lambda: found.find_run(run).status is RunStatus.COMPLETED, "the run is completed")
    assert digests(found, run) == undisturbed(run_config({"images": 32, "iterations": 1000}))
    assert found.find_run(run).term == 3
    assert "taken over" in [event.kind for event in found.events(run)]


def test_a_worker_that_is_told_to_end_finishes_the_shard_in_hand(
    redis_url: str, start: Start, call: Call, found: History
) -> None:
    # Given a run whose shards take long, and one worker with one of them in hand.
    places = {"TAPEWORKS_REDIS_URL": redis_url}
    scheduler, worker = start("scheduler", **places), start("worker", **places)
    [run] = call("submit --images 16 --shards 1 --iterations 1000 --unfolding full").out.split()

    def in_hand() -> str | None:
        shards = [one.shard_in_hand for one in Exchange(redis_url).workers()]
        return next(filter(None, shards), None)

    attempt = until(in_hand, "the worker has a shard in hand")

    # When its supervisor is told to end, then the shard's iteration is committed, by nobody else.
    worker.process.send_signal(signal.SIGTERM)
    assert worker.ended() == 130
    all_gone(worker)
    iteration = int(str(attempt).split(".")[2])
    until(
        lambda: found.find_run(run).completed_iterations > iteration, "the iteration is committed"
    )
    scheduler.interrupt()
    assert scheduler.ended() == 130
