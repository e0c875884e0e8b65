"""Many runs and few workers: messages wait long in the queue, and are computed once even so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults.simulation.faults import Faults, Kind, calm
from tests.faults.simulation.schedule import Schedule

pytestmark = pytest.mark.slow

#: Runs, each with a scheduler of its own; workers, and seconds that each needs for a microbatch.
RUNS, WORKERS, SECONDS = 24, 2, 5.0


class Congested(Schedule):
    """No faults, but much more to compute than workers can at once."""

    def _draw(self) -> Faults:
        return replace(calm([Kind.HONEST] * WORKERS), is_pinned=True)

    def _numbers(self) -> tuple[int, int]:
        return RUNS, RUNS

    def waste(self) -> float:
        """Shards that were computed for each one that was needed."""
        self.run()
        needed = sum(
            min(run.shards or WORKERS, run.microbatches) * run.iterations
            for run in self._store.runs.values()
        )
        return sum(worker.computed for worker in self._workers) / needed


def congested() -> Congested:
    made = Congested(1)
    made.seconds_each = SECONDS
    made.progress_seconds = 10_000.0
    return made


def test_what_merely_waits_in_the_queue_is_not_computed_twice() -> None:
    assert congested().waste() < 1.1  # at the end, idle workers repeat what others are at


def test_deadlines_that_do_not_follow_the_queue_are_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "tapeworks.scheduler.core.sending.Sending._queueing_seconds", lambda *arguments: 0.0
    )
    monkeypatch.setattr(
        "tests.faults.simulation.exchange.Exchange.withdraw", lambda *arguments: None
    )
    monkeypatch.setattr("tests.faults.simulation.witness.MOST_ATTEMPTS", 10_000)
    assert congested().waste() > 1.5
