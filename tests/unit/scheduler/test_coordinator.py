"""Failures, refusals and NaN: what is sent again, to whom not, and what ends a run."""

from __future__ import annotations

from collections.abc import Callable
from types import UnionType

import pytest

from tapeworks.scheduler.core.coordinator import (
    FAILED_SECONDS,
    LEFT_SECONDS,
    MOST_FAILURES,
    MOST_UNKNOWN_TOLD,
    REFUSED_SECONDS,
    Coordinator,
)
from tapeworks.scheduler.core.decisions import (
    Attempt,
    Command,
    Diverged,
    GiveUp,
    Pause,
    Quarantine,
    StartOver,
    Tell,
)
from tapeworks.scheduler.core.standing import MOST_STRIKES
from tests.support.coordination import (
    A,
    B,
    C,
    alike,
    answer,
    coordinator,
    counts,
    indices,
    sends,
    sent,
    standing,
)


def only(attempts: list[Attempt]) -> Attempt:
    [attempt] = attempts
    return attempt


def of_kind(commands: list[Command], kind: type | UnionType) -> list[Command]:
    return [command for command in commands if isinstance(command, kind)]


def our_own() -> Coordinator:
    """One whose single worker is its own child."""
    of = standing()
    of.trusts_one = True
    return coordinator(workers=[A], of=of)


def test_a_failed_attempt_is_due_at_once_and_avoids_the_worker_if_another_is_there() -> None:
    work = coordinator(workers=[A, B])
    assert work.record_failure(only(sent(work, 0.0)), A, "an error", 0.1) == []
    [again] = sends(work.woke(0.1))
    assert again.reason == "it failed"
    assert again.attempt.not_for == {A}


def test_alone_it_must_try_again_itself() -> None:
    work = coordinator(workers=[A])
    work.record_failure(only(sent(work, 0.0)), A, "an error", 0.1)
    assert only(sent(work, 0.1)).not_for == frozenset()


def test_once_all_have_failed_anybody_may_try() -> None:
    work = coordinator(workers=[A, B])
    for now, worker in enumerate([A, B]):
        work.record_failure(only(sent(work, now)), worker, "an error", 0.1)
    assert only(sent(work, 3.0)).not_for == frozenset()


def test_too_many_failures_end_the_run_with_the_last_error() -> None:
    work = coordinator(workers=[A, B])
    for now in range(MOST_FAILURES):
        assert work.record_failure(only(sent(work, now)), A, "an error", 0.1) == []
    last = work.record_failure(only(sent(work, 9.0)), B, "the last error", 0.1)
    assert last == [GiveUp(shard=0, failures=MOST_FAILURES + 1, problem="the last error")]


@pytest.mark.parametrize("fails", [Coordinator.record_failure, Coordinator.invalid])
def test_a_shard_that_fails_again_and_again_goes_out_less_and_less_soon(
    fails: Callable[[Coordinator, Attempt, str, str, float], list[Command]],
) -> None:
    work, now, waits = coordinator(workers=[A, B, C]), 0.0, list[float]()
    attempt = only(sent(work, now))
    for number in range(MOST_FAILURES):
        fails(work, attempt, [A, B, C][number % 3], "an error", now)
        again = sent(work, now)
        at = now if again else work.next_wake(now)
        waits.append(at - now)
        attempt, now = only(again or sent(work, at)), at
    assert waits == [0.0, FAILED_SECONDS, 2 * FAILED_SECONDS, REFUSED_SECONDS, REFUSED_SECONDS]


def test_failures_of_other_shards_do_not_add_up() -> None:
    work = coordinator(MOST_FAILURES + 1, workers=[A, B, C])
    for attempt in sent(work, 0.0):
        assert work.record_failure(attempt, A, "an error", 0.1) == []


def invalid(work: Coordinator, attempt: Attempt, worker: str | None) -> list[Command]:
    return work.invalid(attempt, worker, "its bytes are wrong", 0.1)


def test_an_invalid_answer_is_told_and_sent_again() -> None:
    work = coordinator(workers=[A, B])
    [told] = invalid(work, only(sent(work, 0.0)), A)
    assert isinstance(told, Tell)
    assert told.kind == "answer_invalid"
    assert only(sent(work, 0.1)).not_for == {A}


def test_an_invalid_answer_of_nobody_known_bars_nobody() -> None:
    work = coordinator(workers=[A, B])
    invalid(work, only(sent(work, 0.0)), None)
    assert only(sent(work, 0.2)).not_for == frozenset()


def test_too_many_invalid_answers_quarantine_a_worker_for_all_its_shards() -> None:
    work = coordinator(MOST_STRIKES, workers=[A, B])
    told = [command for attempt in sent(work, 0.0) for command in invalid(work, attempt, A)]
    [quarantined] = of_kind(told, Quarantine)
    assert isinstance(quarantined, Quarantine)
    assert quarantined.worker == A
    assert of_kind(told, StartOver) == [], "nothing of it was counted"
    assert {attempt.not_for for attempt in sent(work, 0.2)} == {frozenset({A})}


def quarantined() -> tuple[Coordinator, list[Command], dict[str, Attempt]]:
    """A was quarantined when an answer of its and one of B were counted, as these commands say."""
    work = coordinator(MOST_STRIKES + 2, workers=[A, B])
    own, other, *wrong = sent(work, 0.0) + sent(work, 0.0)
    work.record_answer(answer(own, A), 0.1)
    work.record_answer(answer(other, B), 0.1)
    wrong += sent(work, 0.1)
    told = [command for attempt in wrong for command in invalid(work, attempt, A)]
    return work, told, {A: own, B: other}


def test_what_was_counted_with_answers_of_a_worker_that_is_quarantined_is_void() -> None:
    work, told, counted = quarantined()
    assert len(of_kind(told, StartOver)) == 1
    assert [one.kind for one in told if isinstance(one, Tell)][-1] == "iteration_started_over"
    assert all(work.attempt(attempt.id) for attempt in counted.values())
    again = sends(work.woke(0.2))
    assert indices(send.attempt for send in again) == [0, 1]
    assert {send.attempt.not_for for send in again} == {frozenset({A})}
    assert not any(send.reason.is_told for send in again), "it is told once"


def test_started_over_every_shard_is_counted_once_more() -> None:
    work, _, before = quarantined()
    late = answer(before[A], A)
    assert counts(work.record_answer(late, 0.2)) == [], "of a worker that is quarantined"
    counted, now = list[int](), 1.0
    while not work.finished:
        for attempt in sent(work, now):
            found = counts(work.record_answer(answer(attempt, B), now))
            counted += [one.attempt.shard.index for one in found]
        now += 1.0
    assert sorted(counted) == list(range(MOST_STRIKES + 2))


def test_nothing_of_a_worker_that_was_quarantined_counts() -> None:
    work = coordinator(workers=[A, B], of=standing(quarantined=[A]))
    attempt = only(sent(work, 0.0))
    assert attempt.not_for == {A}
    work.record_answer(answer(attempt, A), 0.1)
    assert not work.finished
    assert only(sent(work, 0.2)).number == 2


@pytest.mark.parametrize("others", [[], [B]])
def test_failures_of_quarantined_workers_do_not_end_the_run(others: list[str]) -> None:
    work = coordinator(workers=[A, *others], of=standing(quarantined=[A]))
    attempt = only(sent(work, 0.0))
    for _ in range(MOST_FAILURES + 1):
        assert of_kind(invalid(work, attempt, A), GiveUp) == []


def test_a_run_whose_every_worker_is_quarantined_waits_for_another() -> None:
    work = coordinator(workers=[A, B])
    for now in range(2 * MOST_STRIKES):
        for attempt in sent(work, now):
            worker = A if A not in attempt.not_for else B
            assert of_kind(invalid(work, attempt, worker), GiveUp) == []
    assert sent(work, 99.0) == []
    work.saw_workers(alike([A, B, C]), runs=1)
    newcomers = only(sent(work, 100.0))
    assert newcomers.not_for == {A, B}


def test_two_workers_with_nan_mean_that_the_run_diverged() -> None:
    work = coordinator(workers=[A, B])
    assert work.not_finite(only(sent(work, 0.0)), A, 0.1) == []
    second = only(sent(work, 0.2))
    assert second.not_for == {A}
    assert work.not_finite(second, B, 0.3) == [Diverged()]


def test_nan_twice_from_one_worker_ends_the_run_only_if_it_is_alone_and_our_own() -> None:
    beside, alone, own = coordinator(workers=[A, B]), coordinator(workers=[A]), our_own()
    for work, last in ((beside, []), (alone, [Pause]), (own, [Diverged])):
        assert work.not_finite(only(sent(work, 0.0)), A, 0.1) == []
        found = work.not_finite(only(sent(work, 0.2)), A, 0.3)
        assert [type(command) for command in found] == last


def test_failures_of_one_worker_end_the_run_only_if_it_is_our_own() -> None:
    for work, last in ((coordinator(workers=[A]), [Pause]), (our_own(), [GiveUp])):
        for now in range(MOST_FAILURES):
            assert work.record_failure(only(sent(work, now)), A, "an error", now) == []
        found = work.record_failure(only(sent(work, 9.0)), A, "an error", 9.0)
        assert [type(command) for command in found] == last


def test_names_that_never_showed_themselves_end_no_run() -> None:
    work, now = coordinator(workers=[A, B]), 0.0
    for number in range(4 * MOST_FAILURES):
        now += 10.0
        for attempt in sent(work, now):
            assert work.not_finite(attempt, f"made up {number}", now) == []
            assert work.record_failure(attempt, f"made up {number}", "an error", now) == []
            told = invalid(work, attempt, f"made up {number}")
            assert len(told) == (number < MOST_UNKNOWN_TOLD)
    assert only(sent(work, now + 10.0)).not_for == frozenset()


def test_before_a_run_ends_every_living_worker_was_asked() -> None:
    work = coordinator(workers=[A, B, C])
    assert work.not_finite(only(sent(work, 0.0)), A, 0.1) == []
    assert work.not_finite(only(sent(work, 0.2)), B, 0.3) == []
    third = only(sent(work, 0.4))
    assert third.not_for == {A, B}
    assert work.not_finite(third, C, 0.5) == [Diverged()]


def test_what_failed_often_is_given_to_the_worker_that_has_not_tried_it() -> None:
    work = coordinator(workers=[A, B, C])
    told = [
        command
        for now in range(2 * MOST_FAILURES)
        for command in work.record_failure(only(sent(work, now)), [A, B][now % 2], "an error", now)
    ]
    assert told == []
    assert only(sent(work, 99.0)).not_for == {A, B}


def test_where_workers_disagree_on_nan_a_third_decides() -> None:
    work = coordinator(workers=[A, B, C])
    work.not_finite(only(sent(work, 0.0)), A, 0.1)
    work.record_answer(answer(only(sent(work, 0.2)), B), 0.3)
    assert not work.finished
    third = only(sent(work, 0.4))
    assert third.not_for == {A, B}
    work.record_answer(answer(third, C), 0.5)
    assert work.finished


def test_nan_of_a_worker_quarantined_is_no_evidence_even_if_nobody_else_is_seen() -> None:
    work = coordinator(workers=[A], of=standing(quarantined=[A]))
    attempt = only(sent(work, 0.0))
    assert [work.not_finite(attempt, A, 0.1) for _ in range(3)] == [[], [], []]


def test_nan_where_another_finds_numbers_is_a_strike_each_time() -> None:
    work = coordinator(MOST_STRIKES, workers=[A, B])
    told: list[Command] = []
    for attempt in sent(work, 0.0):
        work.not_finite(attempt, A, 0.1)
    for attempt in sent(work, 0.2):
        told += work.record_answer(answer(attempt, B), 0.3)
    assert [command.worker for command in told if isinstance(command, Quarantine)] == [A]


def test_missing_images_are_no_failure() -> None:
    work = coordinator(workers=[A])
    for now in range(MOST_FAILURES + 2):
        assert work.record_missing_payload(only(sent(work, 2.0 * now)), 2.0 * now) == []
    assert only(sent(work, 99.0)).not_for == frozenset()


def test_missing_images_are_told_once_and_asked_for_less_and_less_often() -> None:
    work = coordinator(workers=[A])
    work.record_missing_payload(only(sent(work, 0.0)), 0.0)
    [first] = sends(work.woke(work.next_wake(0.0)))
    assert first.reason == "images, parameters or the network's source were gone"
    work.record_missing_payload(first.attempt, 1.0)
    assert sent(work, 1.0 + LEFT_SECONDS) == []
    [second] = sends(work.woke(1.0 + 2 * LEFT_SECONDS))
    assert not second.reason.is_told


def test_a_failure_of_a_worker_that_is_quarantined_is_its_own() -> None:
    work = coordinator(workers=[A, B])
    for now in range(MOST_STRIKES):
        invalid(work, only(sent(work, now)), A)
    for now in range(10, 12 + MOST_FAILURES):
        commands = work.record_failure(only(sent(work, now)), A, "an error", now)
        assert commands == []


def test_a_refused_shard_goes_out_again_soon() -> None:
    work = coordinator(workers=[A])
    attempt = only(sent(work, 0.0))
    assert work.record_refusal(attempt, 5.0) == []
    assert sent(work, 5.0) == []
    [again] = sends(work.woke(5.0 + LEFT_SECONDS))
    assert again.reason == "a worker refused it"


def test_a_shard_that_was_left_goes_out_soon_and_then_less_and_less_often() -> None:
    work, now, waits = coordinator(workers=[A, B]), 0.0, list[float]()
    for _ in range(9):
        [send] = sends(work.woke(now))
        assert not send.reason.is_told
        work.record_no_result(send.attempt, now)
        waits.append(work.next_wake(now) - now)
        now = work.next_wake(now)
    assert abs(waits[0] - LEFT_SECONDS) < 1e-6
    assert abs(waits[1] - 2 * LEFT_SECONDS) < 1e-6
    assert abs(waits[-1] - REFUSED_SECONDS) < 1e-6


def test_a_failure_that_is_played_back_is_one_failure() -> None:
    work = coordinator(workers=[A, B])
    attempt = only(sent(work, 0.0))
    for _ in range(2 * MOST_FAILURES):
        assert of_kind(work.record_failure(attempt, A, "an error", 0.1), GiveUp) == []
        assert of_kind(invalid(work, attempt, B), GiveUp | Quarantine) == []


def test_one_answer_with_nan_that_is_played_back_ends_no_run() -> None:
    work = our_own()
    attempt = only(sent(work, 0.0))
    for _ in range(3):
        assert work.not_finite(attempt, A, 0.1) == []
    assert work.not_finite(only(sent(work, 0.2)), A, 0.3) == [Diverged()]
