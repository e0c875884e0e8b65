"""Deadlines and copies, from what is learned of the workers' pace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapeworks.scheduler.core.pace import (
    DEADLINE_GROWTH,
    FIRST_DEADLINE_SECONDS,
    HEDGE_FACTOR,
    LONGEST_DEADLINE_SECONDS,
    NEWEST_SHARE,
    SHORTEST_DEADLINE_SECONDS,
    SHORTEST_HEDGE_SECONDS,
    SHORTEST_SECONDS,
    Pace,
)
from tests.support.coordination import known_pace


def test_an_unknown_pace_gives_a_first_deadline_that_grows_when_missed_and_no_copy() -> None:
    deadlines = [Pace().deadline(1000, workers=1, missed=count) for count in (0, 1, 9)]
    first = FIRST_DEADLINE_SECONDS
    assert deadlines == [first, first * DEADLINE_GROWTH, LONGEST_DEADLINE_SECONDS]
    assert Pace().hedge_after(1) == float("inf")


@given(
    seconds=st.floats(0, 1e6),
    ahead=st.integers(0, 10_000),
    workers=st.integers(0, 100),
    missed=st.integers(0, 10_000),
)
def test_deadlines_stay_within_their_bounds_and_grow_with_every_one_missed(
    seconds: float, ahead: int, workers: int, missed: int
) -> None:
    pace = known_pace(seconds)
    earlier, later = (pace.deadline(ahead, workers, count) for count in (missed, missed + 1))
    assert SHORTEST_DEADLINE_SECONDS <= earlier <= later <= LONGEST_DEADLINE_SECONDS


def test_a_deadline_between_its_bounds_is_longer_for_every_one_missed() -> None:
    deadlines = [known_pace().deadline(4, workers=2, missed=count) for count in range(4)]
    assert deadlines == pytest.approx([8.0, 12.0, 18.0, 27.0])


def test_a_longer_queue_ahead_gives_more_time_and_more_workers_less() -> None:
    pace = known_pace()
    assert pace.deadline(8, workers=2, missed=0) > pace.deadline(4, workers=2, missed=0)
    assert pace.deadline(8, workers=4, missed=0) < pace.deadline(8, workers=2, missed=0)


def test_the_pace_follows_what_is_measured() -> None:
    pace = known_pace(1.0)
    pace.learn(6.0, 4.0, microbatches=2)
    assert pace.seconds == pytest.approx(NEWEST_SHARE * 3.0 + (1 - NEWEST_SHARE) * 1.0)
    assert pace.service_seconds == pytest.approx(NEWEST_SHARE * 2.0 + (1 - NEWEST_SHARE) * 1.0)


def test_a_copy_is_worth_it_after_twice_the_expected_time_but_not_at_once() -> None:
    assert known_pace(1.0).hedge_after(3) == HEDGE_FACTOR * 3.0
    assert known_pace(0.001).hedge_after(3) == SHORTEST_HEDGE_SECONDS


def test_workers_are_compared_once_all_of_them_were_measured() -> None:
    pace = Pace()
    assert pace.spread([]) is None
    pace.measure("a", 1.0, microbatches=4)
    assert pace.spread(["a", "b"]) is None
    assert pace.spread(["a"]) == 1.0
    pace.measure("b", 6.0, microbatches=8)
    assert pace.spread(["a", "b"]) == pytest.approx(3.0)
    pace.measure("c", 0.0, microbatches=1)
    assert pace.spread(["a", "c"]) == pytest.approx(0.25 / SHORTEST_SECONDS)


def test_a_worker_that_was_disturbed_once_is_not_slow() -> None:
    pace = Pace()
    for seconds in (9.0, 1.0):
        pace.measure("a", seconds, microbatches=1)
    pace.measure("b", 1.0, microbatches=1)
    assert pace.spread(["a", "b"]) == 1.0, "the first answer may hold the network's compilation"
    for seconds in (1.0, 5.0):
        pace.measure("a", seconds, microbatches=1)
    assert pace.spread(["a", "b"]) == 1.0
    pace.measure("a", 5.0, microbatches=1)
    assert pace.spread(["a", "b"]) == 5.0
