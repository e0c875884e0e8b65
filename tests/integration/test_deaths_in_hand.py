"""A shard that ends every process that computes it, as one does that takes too much memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tapeworks.scheduler.dispatch.gathering import Gathering
from tapeworks.scheduler.errors import Undecided
from tapeworks.wire.keys import QUEUE_KEY
from tapeworks.workers import tasks
from tests.faults.fuzzing.problem import NETWORK, Bench, Onlooker, at_work, benches, work
from tests.support.entries import argument

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """The process is at its end, and nothing that is written in it can catch that."""


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """One on which nothing is waited for."""
    monkeypatch.setattr("tapeworks.scheduler.core.sending.DIED_SECONDS", 0.01)
    monkeypatch.setattr("tapeworks.scheduler.dispatch.link.LOOK_SECONDS", 0.0)
    monkeypatch.setattr("tapeworks.scheduler.dispatch.gathering.ARRIVAL_SECONDS", 0.01)
    with benches() as made:
        bench = made["signed"]
        bench.link.begin("run", NETWORK, None, allow_mixed=False)
        bench.link.join(Onlooker())
        bench.link.prepare(work(), Onlooker())
        yield bench


def live_and_die(bench: Bench, gathering: Gathering, workers: int) -> None:
    """One worker after the other takes the shard and is gone; its record alone says what it had."""
    for number in range(workers):
        bench.worker.name = f"worker-{number}"
        bench.exchange.register_worker(bench.worker.record())
        while not bench.redis.llen(QUEUE_KEY):
            gathering.turn()
        with pytest.raises(Killed):
            tasks.serve(argument(bench.last_entry()))
        gathering.turn()
        bench.exchange.deregister_worker(bench.worker.name)
        gathering.turn()


def test_a_run_is_paused_with_the_reason_when_worker_after_worker_dies_of_a_shard(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise Killed

    monkeypatch.setattr("tapeworks.workers.tasks.shard_arrays", kill)
    gathering = Gathering(bench.link, work(), Onlooker())
    reason = "In iteration 5 shard 0 was in hand when 5 workers in a row .* at last worker-4"
    with at_work(bench), pytest.raises(Undecided, match=reason):
        live_and_die(bench, gathering, workers=5)
    assert bench.worker.record().images == 0
