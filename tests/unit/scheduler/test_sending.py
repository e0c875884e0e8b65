"""Sending, once and again, under a queue that loses, doubles and delays at will."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapeworks.scheduler.core.decisions import Attempt, Reason
from tapeworks.scheduler.core.pace import (
    DEADLINE_FACTOR,
    FIRST_DEADLINE_SECONDS,
    LONGEST_DEADLINE_SECONDS,
    SHORTEST_DEADLINE_SECONDS,
)
from tapeworks.scheduler.core.sending import WINDOW_PER_WORKER, window
from tapeworks.scheduler.core.votes import Tally
from tests.support.coordination import (
    A,
    B,
    alike,
    answer,
    coordinator,
    counts,
    indices,
    sends,
    sent,
    standing,
)

#: Simulated seconds after which a schedule that still lacks a shard counts as stuck.
STUCK_SECONDS = 20_000.0


def workers(count: int) -> list[str]:
    return [f"worker {number}" for number in range(count)]


@dataclass
class BadQueue:
    """Loses, doubles and delays what it is given, by a seed."""

    seed: int
    loses: float
    doubles: float
    deliveries: list[tuple[float, str]] = field(default_factory=list)
    taken: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def put(self, attempt: Attempt, now: float) -> None:
        self.taken += 1
        copies = 0 if self._chance.random() < self.loses else 1
        copies += self._chance.random() < self.doubles
        for _ in range(copies):
            self.deliveries.append((now + self._chance.expovariate(0.5), attempt.id))

    def next_delivery(self, until: float) -> tuple[float, str] | None:
        due = [delivery for delivery in self.deliveries if delivery[0] <= until]
        if not due:
            return None
        self.deliveries.remove(min(due))
        return min(due)


@given(
    count=st.integers(1, 20),
    alive=st.integers(1, 5),
    seed=st.integers(0, 2**32),
    loses=st.floats(0, 0.8),
    doubles=st.floats(0, 0.8),
)
def test_every_shard_is_counted_once_whatever_the_queue_does(
    count: int, alive: int, seed: int, loses: float, doubles: float
) -> None:
    work, queue, now = coordinator(count, workers(alive)), BadQueue(seed, loses, doubles), 0.0
    counted: Counter[int] = Counter()
    while not work.finished:
        assert now < STUCK_SECONDS
        for attempt in sent(work, now):
            queue.put(attempt, now)
        delivery = queue.next_delivery(until=max(now, work.next_wake(now)))
        if delivery is None:
            assert now < work.next_wake(now) < STUCK_SECONDS
            now = work.next_wake(now)
            continue
        now = max(now, delivery[0])
        arrived = work.attempt(delivery[1])
        if arrived is not None:
            found = counts(work.record_answer(answer(arrived), now))
            counted.update(one.attempt.shard.index for one in found)
    assert counted == Counter(range(count))
    assert work.sent == queue.taken
    assert sent(work, now + STUCK_SECONDS) == []
    assert work.next_wake(now) == float("inf")


@pytest.mark.parametrize(
    ("alive", "runs", "expected"),
    [(0, 1, 2), (1, 1, 2), (3, 1, 6), (4, 2, 2), (3, 2, 1), (2, 5, 1), (0, 3, 1)],
)
def test_a_run_alone_fills_all_workers_and_several_share_them(
    alive: int, runs: int, expected: int
) -> None:
    assert window(alive, runs) == expected
    assert len(sent(coordinator(9, workers(alive), runs=runs), 0.0)) == expected


def test_as_many_shards_as_the_window_holds_go_out_at_once_in_order() -> None:
    assert indices(sent(coordinator(9, workers(3)), 0.0)) == [0, 1, 2, 3, 4, 5]


def test_an_answer_makes_room_for_one_more_shard() -> None:
    work = coordinator(9, workers(2))
    first, *_ = sent(work, 0.0)
    assert sent(work, 0.1) == []
    work.record_answer(answer(first), 0.2)
    assert indices(sent(work, 0.2)) == [4]


@given(
    count=st.integers(1, 30),
    alive=st.integers(1, 4),
    steps=st.lists(st.tuples(st.floats(0, 0.4), st.booleans()), max_size=20),
)
def test_never_more_shards_are_out_than_the_window_holds(
    count: int, alive: int, steps: list[tuple[float, bool]]
) -> None:
    work, now, out = coordinator(count, workers(alive)), 0.0, dict[int, Attempt]()
    for seconds, answers in steps:
        now += seconds
        out |= {attempt.shard.index: attempt for attempt in sent(work, now)}
        assert len(out) <= alive * WINDOW_PER_WORKER
        if answers and out:
            work.record_answer(answer(out.popitem()[1]), now)


def test_a_shard_is_sent_again_when_its_deadline_is_over_and_not_before() -> None:
    work = coordinator(of=standing(1.0), runs=2)
    [first] = sent(work, 0.0)
    overdue = work.next_wake(2.5)  # past the time for a copy, which nobody is there to take
    assert sent(work, overdue - 0.001) == []
    [again] = sends(work.woke(overdue))
    assert (first.number, again.attempt.number) == (1, 2)
    assert again.attempt.id != first.id
    assert again.attempt.shard == first.shard
    assert again.reason == "no answer in time"


def test_deadlines_grow_when_they_are_missed() -> None:
    work, now, waits = coordinator(of=standing(1.0)), 0.0, list[float]()
    for _ in range(4):
        assert sent(work, now)
        due = next(slot.due_at for slot in work._sending.slots.values())
        waits.append(due - now)
        now = due
    assert waits == pytest.approx([4.0, 6.0, 9.0, 13.5])


def test_other_failures_do_not_make_deadlines_longer() -> None:
    work = coordinator(of=standing(1.0))
    for now in (0.0, 1.0, 2.0):
        [attempt] = sent(work, now)
        work.record_missing_payload(attempt, now)
    sent(work, 3.0)
    assert work._sending.slots[0].due_at == pytest.approx(7.0)


def test_one_shard_among_many_workers_has_the_time_that_one_worker_needs() -> None:
    work = coordinator(1, workers(16), each=100, of=standing(0.1))
    sent(work, 0.0)
    assert work._sending.slots[0].due_at == pytest.approx(DEADLINE_FACTOR * 100 * 0.1)


def test_whatever_is_missing_is_due_again_within_the_longest_deadline() -> None:
    work, now = coordinator(3, workers(2)), 0.0
    for number in range(1, 8):
        assert [one.number for one in sent(work, now)] == [number] * 3
        assert now < work.next_wake(now) <= now + LONGEST_DEADLINE_SECONDS
        now += LONGEST_DEADLINE_SECONDS


def test_a_late_answer_to_an_earlier_attempt_is_still_good() -> None:
    work = coordinator()
    [first] = sent(work, 0.0)
    [second] = sent(work, LONGEST_DEADLINE_SECONDS)
    assert work.attempt(first.id) == first
    work.record_answer(answer(first), 100.0)
    assert work.attempt(second.id) is None
    assert work.finished


def test_an_attempt_that_was_never_sent_is_unknown() -> None:
    work = coordinator(2)
    sent(work, 0.0)
    assert work.attempt("shard 0 attempt 2") is None
    assert work.attempt("") is None


def test_a_lost_queue_makes_everything_missing_due_at_once() -> None:
    work = coordinator(3, workers(2))
    first, *_ = sent(work, 0.0)
    work.record_answer(answer(first), 0.1)
    work.requeue_all(Reason.REDIS_FAILED)
    again = sends(work.woke(0.1))
    assert indices(send.attempt for send in again) == [1, 2]
    assert {send.reason for send in again} == {"Redis failed"}
    assert work.sent == 5


def test_a_worker_that_is_gone_makes_everything_missing_due_and_a_new_one_nothing() -> None:
    work = coordinator(2, [A, B])
    sent(work, 0.0)
    work.saw_workers(alike([A, B, "c"]), runs=1)
    assert sent(work, 0.1) == []
    work.saw_workers(alike([A, "c"]), runs=1)
    assert {send.reason for send in sends(work.woke(0.2))} == {"a worker is gone"}


def test_while_no_worker_is_known_a_shard_is_sent_once_and_again_when_one_comes() -> None:
    work = coordinator(1, [])
    assert [attempt.number for attempt in sent(work, 0.0)] == [1]
    overdue = work.next_wake(0.0) + 1
    assert sent(work, overdue) == []
    assert work.next_wake(overdue) == float("inf")
    work.saw_workers(alike([A]), runs=1)
    assert [attempt.number for attempt in sent(work, overdue)] == [2]


def test_what_has_no_room_does_not_wake_anybody() -> None:
    work = coordinator(5, [A], of=standing(1.0))
    sent(work, 0.0)
    past_copies = 2.5
    assert sent(work, past_copies) == []
    assert work.next_wake(past_copies) >= SHORTEST_DEADLINE_SECONDS + past_copies


def test_the_pace_of_a_run_is_learned_from_the_answers_that_are_counted() -> None:
    of = standing()
    work = coordinator(of=of)
    [attempt] = sent(work, 10.0)
    work.record_answer(answer(attempt), 12.5)
    assert (of.pace.seconds, of.pace.service_seconds) == (2.5, 0.5)


# Copies for idle workers


def test_an_idle_worker_repeats_the_oldest_late_shard_once() -> None:
    work = coordinator(1, [A, B], of=standing(1.0))
    sent(work, 0.0)
    assert sent(work, 1.9) == []
    assert work.next_wake(1.9) == 2.0
    [copy] = sends(work.woke(2.0))
    assert (copy.attempt.number, copy.reason) == (2, "an idle worker repeats it")
    assert sent(work, 2.1) == []


def test_there_are_no_more_copies_than_idle_workers() -> None:
    work = coordinator(3, workers(5), of=standing(0.5))
    assert len(sent(work, 0.0)) == 3
    assert indices(sent(work, 1.1)) == [0, 1]


def test_nothing_is_repeated_while_every_worker_has_something() -> None:
    work = coordinator(2, [A, B], of=standing(1.0))
    sent(work, 0.0)
    assert sent(work, 3.0) == []


def test_nothing_is_repeated_while_something_else_waits_for_room() -> None:
    work = coordinator(9, [A, B], of=standing(1.0))
    sent(work, 0.0)
    assert sent(work, 3.0) == []


def test_nothing_is_repeated_while_the_pace_is_unknown() -> None:
    work = coordinator(1, [A, B])
    sent(work, 0.0)
    assert sent(work, FIRST_DEADLINE_SECONDS - 1) == []


def test_copies_stay_within_what_a_run_may_have_out_beside_others() -> None:
    work = coordinator(1, [A, B, "c"], runs=3, of=standing(1.0))
    sent(work, 0.0)
    assert sent(work, 3.0) == []


def test_the_copys_answer_counts_and_the_first_ones_does_no_more() -> None:
    work = coordinator(1, [A, B], of=standing(1.0))
    [first] = sent(work, 0.0)
    [copy] = sent(work, 2.0)
    copied = answer(copy, B)
    assert counts(work.record_answer(copied, 2.5)) == [copied]
    assert work.finished
    assert work.attempt(first.id) is None


def test_a_shard_that_goes_out_again_soon_anyway_is_not_repeated() -> None:
    work = coordinator(1, [A, B], of=standing(1.0))
    [attempt] = sent(work, 0.0)
    work.record_no_result(attempt, 2.0)
    assert sent(work, 2.0) == []
    [again] = sends(work.woke(work.next_wake(2.0)))
    assert again.reason == "it was left to another worker"


def test_a_message_that_waits_in_the_queue_is_late_when_it_has_waited_longer_than_others() -> None:
    work = coordinator(1, [A], of=standing(1.0))
    work.saw_workers(alike([A]), runs=1, queue_length=3)
    sent(work, 0.0)
    overdue = work.next_wake(2.5)  # past the time for a copy, which nobody is there to take
    assert sent(work, overdue) == [], "three shards of a second each are ahead of it"
    assert work.next_wake(overdue) == overdue + 3
    [again] = sends(work.woke(overdue + 3))
    assert again.reason == "no answer in time"


# Cost


def looks(shards: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how often an ordinary answer has a shard looked at, and the turn that follows it."""
    work, seen, looked = coordinator(shards, workers(shards)), alike(workers(shards)), list[int]()
    work.saw_workers(seen, runs=1)
    first, *_ = sent(work, 0.0)
    is_missing = Tally.is_missing

    def look(tally: Tally, shard: int) -> bool:
        looked.append(shard)
        return is_missing(tally, shard)

    with monkeypatch.context() as patched:
        patched.setattr(Tally, "is_missing", look)
        work.record_answer(answer(first), 0.1)
        work.saw_workers(seen, runs=1)
        assert not work.is_waiting
        assert sent(work, 0.1) == []
        assert work.next_wake(0.1) > 0.1
    return len(looked)


def test_an_ordinary_answer_is_no_reason_to_look_at_all_shards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert 0 < looks(100, monkeypatch) == looks(10, monkeypatch) < 20
