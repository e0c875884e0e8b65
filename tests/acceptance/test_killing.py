"""`tapeworks train` through the deaths of everything that it has started."""

from __future__ import annotations

import psutil
import pytest

from tests.support.calls import Call
from tests.support.endless import TRAIN, Undisturbed, begun, goes_on_to_the_same_bits, iterations
from tests.support.processes import Start, Started, alive, all_gone, workers_of
from tests.support.waiting import until

pytestmark = pytest.mark.slow


def living_redis(training: Started) -> psutil.Process | None:
    names = {"redis-server", "valkey-server"}
    servers = [one for one in training.descendants() if alive(one) and one.name() in names]
    return servers[0] if servers else None


def goes_on(training: Started) -> None:
    """Wait for a few more iterations."""
    database = training.directory / "runs.db"
    known = iterations(database)

    def look() -> bool:
        assert training.process.poll() is None, training.err
        return iterations(database) > known + 3

    until(look, "the run goes on")


def kill_one_worker_three_times(training: Started) -> None:
    for _ in range(3):
        until(lambda: workers_of(training), "a worker is there")[0].kill()
    goes_on(training)


def kill_all_workers(training: Started) -> None:
    victims = until(lambda: workers_of(training), "workers are there")
    for worker in victims:
        worker.kill()
    goes_on(training)


def kill_redis_three_times(training: Started) -> None:
    for times in range(1, 4):
        server = until(lambda: living_redis(training), "Redis is there")
        assert server is not None
        server.kill()
        until(lambda: told(training) == times, "the user is told")  # noqa: B023
        goes_on(training)


def told(training: Started) -> int:
    return training.err.count("The private Redis ended; started it again.")


def freeze_redis(training: Started) -> None:
    server = living_redis(training)
    assert server is not None
    server.suspend()
    try:
        until(lambda: training.says("cannot be used"), "the user is told")
    finally:
        server.resume()
    goes_on(training)


def test_a_training_survives_it_all_and_goes_on_to_the_same_bits(
    start: Start, call: Call, undisturbed: Undisturbed
) -> None:
    training = start(*TRAIN, "--workers", "2")
    begun(training)
    kill_redis_three_times(training)
    freeze_redis(training)
    kill_one_worker_three_times(training)
    kill_all_workers(training)
    training.interrupt()
    assert training.ended() == 130
    all_gone(training)
    assert "Traceback" not in training.err
    kinds = {event["kind"] for event in call("show it --events --json").values}
    assert {"redis_unreachable", "redis_restarted"} & kinds
    goes_on_to_the_same_bits(call, undisturbed)
