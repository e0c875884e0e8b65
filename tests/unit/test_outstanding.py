"""What is missing and what is due, under a queue that loses, doubles and delays at will."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.images import cut
from scheduler.outstanding import (
    LONGEST_DEADLINE_SECONDS,
    NEWEST_SHARE,
    SHORTEST_DEADLINE_SECONDS,
    WINDOW_PER_WORKER,
    Attempt,
    Outstanding,
    Pace,
)
from scheduler.sharding import Shard, split

#: Simulated seconds after which a schedule that still lacks a shard counts as stuck.
STUCK_SECONDS = 20_000.0


def shards(count: int) -> list[Shard]:
    return split(cut(range(count * 8), 8), count)


def name(shard: Shard, number: int) -> str:
    return f"shard {shard.index} attempt {number}"


def outstanding(count: int, pace: Pace | None = None) -> Outstanding:
    return Outstanding(shards(count), pace or Pace(), name)


def known_pace(seconds: float = 1.0) -> Pace:
    pace = Pace()
    pace.learn(seconds, microbatches=1)
    return pace


@dataclass
class BadQueue:
    """Loses, doubles and delays what it is given, by a seed; gives up losing after a while."""

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
    workers=st.integers(1, 5),
    seed=st.integers(0, 2**32),
    loses=st.floats(0, 0.8),
    doubles=st.floats(0, 0.8),
)
def test_every_shard_is_counted_once_whatever_the_queue_does(
    count: int, workers: int, seed: int, loses: float, doubles: float
) -> None:
    work, queue, now = outstanding(count), BadQueue(seed, loses, doubles), 0.0
    counted: Counter[int] = Counter()
    while not work.finished:
        assert now < STUCK_SECONDS
        for attempt in work.due(now, workers):
            queue.put(attempt, now)
        delivery = queue.next_delivery(until=max(now, work.next_due()))
        if delivery is None:
            assert work.next_due() > now  # something is due later, or the loop would never end
            now = work.next_due()
            continue
        now = max(now, delivery[0])
        arrived = work.attempt(delivery[1])
        if arrived is not None:
            work.count(arrived, now)
            counted[arrived.shard.index] += 1
    assert counted == Counter(range(count))
    assert work.sent == queue.taken
    assert work.due(now + STUCK_SECONDS, workers) == []


@given(
    count=st.integers(1, 30),
    steps=st.lists(st.tuples(st.floats(0, 90), st.integers(0, 4), st.booleans()), max_size=20),
)
def test_never_more_shards_are_out_than_the_window_holds(
    count: int, steps: list[tuple[float, int, bool]]
) -> None:
    work, now, expiry = outstanding(count, known_pace()), 0.0, dict[int, float]()
    for seconds, workers, answers in steps:
        now += seconds
        out = {index for index, due_at in expiry.items() if due_at > now}
        sent = work.due(now, workers)
        fresh = {attempt.shard.index for attempt in sent}
        assert len(fresh) == len(sent)
        assert not fresh & out
        window = max(workers, 1) * WINDOW_PER_WORKER
        assert len(fresh | out) <= max(window, len(out))
        expiry |= dict.fromkeys(fresh, now + SHORTEST_DEADLINE_SECONDS)
        if answers and sent:
            work.count(sent[0], now)
            del expiry[sent[0].shard.index]


def test_as_many_shards_as_the_window_holds_go_out_at_once_in_order() -> None:
    sent = outstanding(9).due(0.0, workers=3)
    assert [attempt.shard.index for attempt in sent] == [0, 1, 2, 3, 4, 5]


def test_an_answer_makes_room_for_one_more_shard() -> None:
    work = outstanding(9)
    first, *_ = work.due(0.0, workers=2)
    assert work.due(0.1, workers=2) == []
    work.count(first, 0.2)
    assert [attempt.shard.index for attempt in work.due(0.2, workers=2)] == [4]


def test_without_any_worker_a_few_messages_wait_for_the_first() -> None:
    assert len(outstanding(9).due(0.0, workers=0)) == WINDOW_PER_WORKER


def test_a_shard_is_sent_again_when_its_deadline_is_over_and_not_before() -> None:
    work = outstanding(1, known_pace())
    [first] = work.due(0.0, workers=1)
    overdue = work.next_due()
    assert work.due(overdue - 0.001, workers=1) == []
    [second] = work.due(overdue, workers=1)
    assert (first.number, second.number) == (1, 2)
    assert first.id != second.id
    assert first.shard == second.shard


def test_whatever_is_missing_is_due_again_within_the_longest_deadline() -> None:
    work, now = outstanding(3), 0.0
    for attempt in range(1, 8):
        sent = work.due(now, workers=2)
        assert [one.number for one in sent] == [attempt] * 3
        assert now < work.next_due() <= now + LONGEST_DEADLINE_SECONDS
        now += LONGEST_DEADLINE_SECONDS


def test_a_late_answer_to_an_earlier_attempt_is_still_good() -> None:
    work = outstanding(1, known_pace())
    [first] = work.due(0.0, workers=1)
    [second] = work.due(work.next_due(), workers=1)
    assert work.attempt(first.id) == first
    work.count(first, 100.0)
    assert work.attempt(second.id) is None
    assert work.finished


def test_an_attempt_that_was_never_sent_is_unknown() -> None:
    work = outstanding(2)
    work.due(0.0, workers=1)
    assert work.attempt("shard 0 attempt 2") is None
    assert work.attempt("") is None


def test_a_failed_attempt_is_due_at_once_or_at_a_given_time() -> None:
    work = outstanding(2)
    first, second = work.due(0.0, workers=1)
    work.send_again(first.shard)
    work.send_again(second.shard, at=5.0)
    assert [attempt.shard.index for attempt in work.due(0.1, workers=1)] == [0]
    assert [attempt.shard.index for attempt in work.due(5.0, workers=1)] == [1]


def test_a_lost_queue_makes_everything_missing_due_at_once() -> None:
    work = outstanding(3)
    first, *_ = work.due(0.0, workers=2)
    work.count(first, 0.1)
    work.send_all_again()
    assert [attempt.shard.index for attempt in work.due(0.1, workers=2)] == [1, 2]
    assert work.sent == 5


def test_an_unknown_pace_gives_the_longest_deadline() -> None:
    assert Pace().deadline(1000, workers=1, attempt=9) == LONGEST_DEADLINE_SECONDS


@given(
    seconds=st.floats(0, 1e6),
    ahead=st.integers(0, 10_000),
    workers=st.integers(0, 100),
    attempt=st.integers(1, 50),
)
def test_deadlines_stay_within_their_bounds_and_grow_with_every_attempt(
    seconds: float, ahead: int, workers: int, attempt: int
) -> None:
    pace = known_pace(seconds)
    earlier, later = (pace.deadline(ahead, workers, number) for number in (attempt, attempt + 1))
    assert SHORTEST_DEADLINE_SECONDS <= earlier <= later <= LONGEST_DEADLINE_SECONDS


def test_a_deadline_between_its_bounds_is_longer_for_every_attempt() -> None:
    deadlines = [known_pace().deadline(4, workers=2, attempt=number) for number in (1, 2, 3, 4)]
    assert deadlines == pytest.approx([8.0, 12.0, 18.0, 27.0])


def test_a_longer_queue_ahead_gives_more_time_and_more_workers_less() -> None:
    pace = known_pace()
    assert pace.deadline(8, workers=2, attempt=1) > pace.deadline(4, workers=2, attempt=1)
    assert pace.deadline(8, workers=4, attempt=1) < pace.deadline(8, workers=2, attempt=1)


def test_the_pace_follows_what_is_measured() -> None:
    pace = known_pace(1.0)
    pace.learn(6.0, microbatches=2)
    assert pace.seconds == pytest.approx(NEWEST_SHARE * 3.0 + (1 - NEWEST_SHARE) * 1.0)


def test_the_pace_of_a_run_is_learned_from_the_answers_that_are_counted() -> None:
    pace = Pace()
    work = outstanding(1, pace)
    [attempt] = work.due(10.0, workers=1)
    work.count(attempt, 12.5)
    assert pace.seconds == 2.5


def test_while_no_worker_is_known_a_shard_is_sent_once_and_again_when_one_comes() -> None:
    work = outstanding(1)
    assert [attempt.number for attempt in work.due(0.0, workers=0)] == [1]
    overdue = work.next_due() + 1
    assert work.due(overdue, workers=0) == []
    assert [attempt.number for attempt in work.due(overdue, workers=1)] == [2]
