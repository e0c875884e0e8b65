"""A shard of which workers die, by their memory say: told from workers that die of other things."""

from __future__ import annotations

from tapeworks.scheduler.core.coordinator import MOST_DEATHS, Coordinator
from tapeworks.scheduler.core.decisions import Attempt, Pause
from tapeworks.scheduler.core.sending import DIED_SECONDS
from tests.support.coordination import KIND, alike, answer, coordinator, sends, sent


def dies(work: Coordinator, attempt: Attempt, number: int, now: float) -> None:
    """Let a worker show the attempt in hand and vanish; its supervisor has started another."""
    others = alike(["other"])
    name = f"worker-{number}"
    work.saw_workers(others | {name: KIND}, 1, in_hand={name: attempt.id}, now=now)
    work.saw_workers(others | {f"worker-{number + 1}": KIND}, 1, now=now)


def next_attempt(work: Coordinator, now: float) -> tuple[Attempt, float]:
    found = sent(work, now)
    at = now if found else work.next_wake(now)
    [attempt] = found or sent(work, at)
    return attempt, at


def test_a_shard_with_which_worker_after_worker_dies_pauses_the_run_with_the_reason() -> None:
    work, now, waits = coordinator(workers=["other"]), 0.0, list[float]()
    for number in range(MOST_DEATHS):
        attempt, at = next_attempt(work, now)
        waits.append(at - now)
        now = at
        dies(work, attempt, number, now)
    [paused] = [command for command in work.woke(now) if isinstance(command, Pause)]
    assert "shard 0 was in hand when 5 workers in a row" in paused.reason
    assert "at last worker-4" in paused.reason
    assert waits == [0.0, 0.0, *[DIED_SECONDS * 2**doubled for doubled in range(MOST_DEATHS - 2)]]


def test_workers_that_die_with_different_shards_in_hand_pause_no_run() -> None:
    work = coordinator(2 * MOST_DEATHS, workers=[f"w{number}" for number in range(10)])
    for number, attempt in enumerate(sent(work, 0.0)):
        dies(work, attempt, number, 0.0)
    assert [one for one in work.woke(0.0) if isinstance(one, Pause)] == []


def test_a_valid_answer_for_a_part_of_the_shard_makes_earlier_deaths_forgotten() -> None:
    work, now = coordinator(workers=["other"], audited=[0]), 0.0
    for number in range(2 * MOST_DEATHS):
        if number == MOST_DEATHS - 1:
            attempt, now = next_attempt(work, now)
            work.record_answer(answer(attempt, "other"), now)
        attempt, now = next_attempt(work, now)
        dies(work, attempt, number, now)
        paused = any(isinstance(command, Pause) for command in work.woke(now))
        assert paused == (number >= 2 * MOST_DEATHS - 2)


def test_deaths_that_are_seen_after_a_valid_answer_say_nothing() -> None:
    work, now = coordinator(workers=["other", "second"], audited=[0]), 0.0
    attempts: list[Attempt] = []
    for _ in range(MOST_DEATHS):
        attempt, now = next_attempt(work, work.next_wake(now) if attempts else now)
        attempts.append(attempt)
    work.record_answer(answer(attempts[-1], "other"), now + 1.0)
    for number, attempt in enumerate(attempts):
        dies(work, attempt, number, now + 2.0)
    assert not any(isinstance(command, Pause) for command in work.woke(now + 2.0))


def test_the_death_of_one_worker_delays_nothing() -> None:
    work = coordinator(workers=["other"])
    [attempt] = sent(work, 0.0)
    dies(work, attempt, 0, 1.0)
    assert len(sends(work.woke(1.0))) == 1


def test_records_that_vanish_one_after_the_other_count_once_for_each_attempt() -> None:
    work = coordinator(workers=["other"])
    [attempt] = sent(work, 0.0)
    for number in range(3 * MOST_DEATHS):
        dies(work, attempt, number, 0.0)
    assert [one for one in work.woke(0.0) if isinstance(one, Pause)] == []
