"""The point at which a worker counts as one that has stopped consuming."""

from __future__ import annotations

import pytest

from tapeworks.workers.worker import IDLE_HEARTBEATS, Watchdog


@pytest.fixture
def watchdog() -> Watchdog:
    """Of a worker that has taken seven messages and has stood idle as long as it may, but for one
    heartbeat."""
    watchdog = Watchdog()
    beats = [watchdog.beat(7, 3, busy=False) for _ in range(IDLE_HEARTBEATS)]
    assert not any(beats)  # the first of them took the seven
    return watchdog


def test_a_worker_that_takes_nothing_from_a_queue_that_is_not_empty_is_found_out(
    watchdog: Watchdog,
) -> None:
    assert watchdog.beat(7, 3, busy=False)


@pytest.mark.parametrize(
    ("taken", "queue_length", "busy"),
    [(8, 3, False), (7, 0, False), (7, 3, True)],
    ids=["it took one", "nothing to take", "one in hand"],
)
def test_one_heartbeat_that_is_not_idle_starts_the_count_anew(
    taken: int, queue_length: int, busy: bool, watchdog: Watchdog
) -> None:
    assert not watchdog.beat(taken, queue_length, busy=busy)
    again = [watchdog.beat(taken, 3, busy=False) for _ in range(IDLE_HEARTBEATS)]
    assert again == [False] * (IDLE_HEARTBEATS - 1) + [True]


def test_a_worker_is_idle_for_as_long_as_it_likes_beside_an_empty_queue() -> None:
    watchdog = Watchdog()
    assert not any(watchdog.beat(0, 0, busy=False) for _ in range(10 * IDLE_HEARTBEATS))


def test_a_worker_is_busy_with_one_shard_for_as_long_as_it_takes() -> None:
    watchdog = Watchdog()
    assert not any(watchdog.beat(1, 3, busy=True) for _ in range(10 * IDLE_HEARTBEATS))
