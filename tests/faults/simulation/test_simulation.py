"""Thousands of schedules of faults, each a whole system in one process: every run comes out right.

`python -m tests.faults.simulation --seed N` replays one with its whole log.
"""

from __future__ import annotations

import pytest

from tests.faults.simulation.schedule import Schedule

#: Schedules in all, those of the ordinary tests, and those of one test.
SCHEDULES, ORDINARY, CHUNK = 2000, 800, 100


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(first, marks=[pytest.mark.long] if first >= ORDINARY else [])
        for first in range(0, SCHEDULES, CHUNK)
    ],
)
def test_runs_are_exact_and_get_done_whatever_goes_wrong(first: int) -> None:
    for seed in range(first, first + CHUNK):
        Schedule(seed).run()


@pytest.mark.long
@pytest.mark.parametrize(
    "kind", ["crashed_before_commit", "crashed_while_iterations_waited", "refused_together"]
)
def test_schedulers_die_and_lose_leases_while_iterations_are_computed_and_not_committed(
    kind: str,
) -> None:
    assert any(kind in Schedule(seed).run().kinds for seed in range(SCHEDULES))


def test_a_seed_gives_the_same_schedule_every_time() -> None:
    logs = []
    for _ in range(2):
        schedule = Schedule(7, whole_log=True)
        schedule.run()
        logs.append(list(schedule.world.log))
    assert len(logs[0]) > 10
    assert logs[0] == logs[1]
