"""Audits: two workers must find the same bits, a third decides, the wrong one is quarantined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tapeworks.scheduler.core.coordinator import MOST_FAILURES, Coordinator
from tapeworks.scheduler.core.decisions import (
    WORKER_QUARANTINED,
    Answer,
    Attempt,
    Command,
    Count,
    Diverged,
    Quarantine,
    StartOver,
    Tell,
)
from tapeworks.scheduler.core.settling import STUCK_SECONDS
from tapeworks.scheduler.core.standing import MOST_STRIKES, Standing
from tests.support.coordination import (
    A,
    B,
    C,
    alike,
    answer,
    coordinator,
    counts,
    indices,
    name,
    sent,
    shards,
)


def only(attempts: list[Attempt]) -> Attempt:
    [attempt] = attempts
    return attempt


def kinds(commands: list[Command]) -> list[str]:
    return [command.kind for command in commands if isinstance(command, Tell)]


def quarantined(commands: list[Command]) -> list[str]:
    return [command.worker for command in commands if isinstance(command, Quarantine)]


def lies(work: Coordinator, attempt: Attempt) -> list[Command]:
    return work.record_answer(answer(attempt, B, "wrong"), 0.3)


def finds_nan(work: Coordinator, attempt: Attempt) -> list[Command]:
    return work.not_finite(attempt, B, 0.3)


def disputed() -> tuple[Coordinator, Attempt]:
    """A lies, B does not, and what was sent for a third to decide."""
    work = coordinator(workers=[A, B, C], audited=[0])
    work.record_answer(answer(only(sent(work, 0.0)), A, "wrong"), 0.1)
    told = work.record_answer(answer(only(sent(work, 0.2)), B), 0.3)
    assert kinds(told) == ["audit_mismatch"]
    return work, only(sent(work, 0.4))


def test_an_audited_shard_goes_out_again_at_once_to_somebody_else() -> None:
    work = coordinator(workers=[A, B], audited=[0])
    first = answer(only(sent(work, 0.0)), A)
    assert work.record_answer(first, 0.1) == []
    assert not work.finished
    second = only(sent(work, 0.1))
    assert second.not_for == {A}
    assert work.record_answer(answer(second, B), 0.2) == [Count(answer=first)]
    assert work.finished


def test_only_what_is_audited_is_asked_for_twice() -> None:
    work = coordinator(2, workers=[A, B], audited=[1])
    first, audited = sent(work, 0.0)
    assert [work.needs_bits(attempt) for attempt in (first, audited)] == [False, True]
    for attempt in (first, audited):
        work.record_answer(answer(attempt, A), 0.1)
    assert indices(sent(work, 0.1)) == [1]


def test_an_answer_that_comes_twice_does_not_confirm_itself() -> None:
    work = coordinator(workers=[A, B], audited=[0])
    first = only(sent(work, 0.0))
    work.record_answer(answer(first, A), 0.1)
    work.record_answer(answer(first, A), 0.2)
    assert not work.finished


def test_a_third_worker_decides_and_the_wrong_one_is_quarantined_and_named() -> None:
    work, third = disputed()
    assert third.not_for == {A, B}
    told = work.record_answer(answer(third, C), 0.5)
    assert quarantined(told) == [A]
    assert work.finished
    assert [answer.worker for answer in counts(told)] == [B]
    [event] = [one for one in told if isinstance(one, Tell) and one.kind == WORKER_QUARANTINED]
    assert (event.worker, f"replay ({A})" in event.message) == (A, True)


def test_a_dispute_is_not_waived_but_waits_for_a_third_worker() -> None:
    work, third = disputed()
    work.saw_workers(alike([A, B]), runs=1)
    assert kinds(work.record_no_result(third, 0.6)) == []
    assert not work.finished


def test_the_right_one_of_two_answers_to_the_same_attempt_is_counted() -> None:
    work = coordinator(workers=[A, B, C], audited=[0])
    doubled = only(sent(work, 0.0))
    truth, lie = answer(doubled, A), answer(doubled, B, "wrong")
    work.record_answer(truth, 0.1)
    work.record_answer(lie, 0.2)
    told = work.record_answer(answer(only(sent(work, 0.3)), C), 0.4)
    assert quarantined(told) == [B]
    assert counts(told) == [truth]


def test_counted_answers_of_the_quarantined_one_start_the_whole_iteration_over() -> None:
    work = coordinator(2, workers=[A, B, C], audited=[0])
    audited, other = sent(work, 0.0)
    work.record_answer(answer(other, A, "wrong"), 0.1)
    work.record_answer(answer(audited, A, "wrong"), 0.1)
    work.record_answer(answer(only(sent(work, 0.2)), B), 0.3)
    told = work.record_answer(answer(only(sent(work, 0.4)), C), 0.5)
    assert quarantined(told) == [A]
    assert [type(command) for command in told if isinstance(command, Count | StartOver)] == [
        StartOver
    ]
    again = sent(work, 0.6)
    assert indices(again) == [0, 1]
    assert {attempt.not_for for attempt in again} == {frozenset({A})}


def test_uncounted_answers_of_the_quarantined_one_start_nothing_over() -> None:
    work = coordinator(2, workers=[A, B, C], audited=[0, 1])
    first, second = sent(work, 0.0)
    for attempt in (first, second):
        work.record_answer(answer(attempt, A, "wrong"), 0.1)
    work.record_answer(answer(sent(work, 0.2)[0], B), 0.3)
    told = work.record_answer(answer(only(sent(work, 0.4)), C), 0.5)
    assert quarantined(told) == [A]
    assert [answer.worker for answer in counts(told)] == [B]
    assert not [command for command in told if isinstance(command, StartOver)]


def test_without_a_second_worker_an_audit_is_waived_and_told() -> None:
    work = coordinator(workers=[A], audited=[0])
    told = work.record_answer(answer(only(sent(work, 0.0)), A), 0.1)
    assert kinds(told) == ["audit_waived"]
    assert work.finished


def test_when_the_second_worker_has_gone_the_audit_is_waived() -> None:
    work = coordinator(workers=[A, B], audited=[0])
    work.record_answer(answer(only(sent(work, 0.0)), A), 0.1)
    work.saw_workers(alike([A]), runs=1)
    assert kinds(work.woke(0.2)) == ["audit_waived"]
    assert work.finished


def test_while_nobody_is_seen_an_audit_is_not_waived() -> None:
    work = coordinator(workers=[A, B], audited=[0])
    attempt = only(sent(work, 0.0))
    work.saw_workers(alike([]), runs=1)
    assert work.record_answer(answer(attempt, A), 0.1) == []
    assert not work.finished


def test_two_workers_that_disagree_wait_for_a_third_and_then_are_asked_again() -> None:
    for disagree in (lies, finds_nan):
        work = coordinator(workers=[A, B], audited=[0])
        work.record_answer(answer(only(sent(work, 0.0)), A), 0.1)
        told = disagree(work, only(sent(work, 0.2)))
        assert kinds(told)[-1:] == ["audit_waits"]
        assert (work.is_waiting, sent(work, 0.4)) == (True, [])
        again = only(sent(work, 0.3 + STUCK_SECONDS))
        assert again.not_for == frozenset()
        work.record_answer(answer(again, B), 10.0)
        work.record_answer(answer(only(sent(work, 10.0)), A), 10.1)
        assert work.finished


def test_workers_that_never_agree_are_asked_less_and_less_often() -> None:
    work, now = coordinator(workers=[A, B], audited=[0]), 0.0
    for patience in (STUCK_SECONDS, 2 * STUCK_SECONDS, 4 * STUCK_SECONDS):
        work.record_answer(answer(only(sent(work, now)), A), now)
        work.record_answer(answer(only(sent(work, now)), B, "wrong"), now)
        now += patience
        assert sent(work, now - 0.1) == []


def test_a_third_worker_that_comes_decides_at_once() -> None:
    work = coordinator(workers=[A, B], audited=[0])
    work.record_answer(answer(only(sent(work, 0.0)), A, "wrong"), 0.1)
    work.record_answer(answer(only(sent(work, 0.2)), B), 0.3)
    work.saw_workers(alike([A, B, C]), runs=1)
    third = only(sent(work, 0.5))
    assert third.not_for == {A, B}
    assert not work.is_waiting
    assert quarantined(work.record_answer(answer(third, C), 0.6)) == [A]


def test_two_that_find_nan_outvote_one_that_does_not() -> None:
    work = coordinator(workers=[A, B, C], audited=[0])
    work.record_answer(answer(only(sent(work, 0.0)), A), 0.1)
    assert work.not_finite(only(sent(work, 0.2)), B, 0.3) == []
    told = work.not_finite(only(sent(work, 0.4)), C, 0.5)
    assert quarantined(told) == [A]
    assert told[-1] == Diverged()


def test_a_second_worker_that_fails_again_and_again_does_not_end_the_run() -> None:
    work = coordinator(workers=[A, B], audited=[0])
    work.record_answer(answer(only(sent(work, 0.0)), A), 0.1)
    told: list[Command] = []
    for now in range(1, 2 + MOST_FAILURES):
        told += work.record_failure(only(sent(work, now)), B, "out of memory", now)
    assert kinds(told) == ["audit_waived"]
    assert {type(command) for command in told} == {Tell, Count}
    assert work.finished


# Fingerprints


def unpinned(workers: Mapping[str, str], *, audit: bool = True) -> tuple[Coordinator, Standing]:
    """A run on which nothing is stored yet, and these workers with their fingerprints."""
    of, audited = Standing(), [0, 1] if audit else []
    work = Coordinator(shards(2), of, name, audited, is_audited=audit)
    work.saw_workers(workers, runs=1)
    return work, of


def of_kind(attempt: Attempt, worker: str, fingerprint: str) -> Answer:
    return replace(answer(attempt, worker, fingerprint), fingerprint=fingerprint)


def test_in_an_audit_one_answer_pins_no_fingerprint_but_two_that_agree_do() -> None:
    work, of = unpinned({A: "bb", B: "aa", C: "aa"})
    first, second = sent(work, 0.0)
    assert kinds(work.record_answer(of_kind(first, A, "bb"), 0.1)) == []
    assert not of.demanded_fingerprint
    assert kinds(work.record_answer(of_kind(only(sent(work, 0.1)), B, "aa"), 0.2)) == []
    assert kinds(work.record_answer(of_kind(only(sent(work, 0.2)), C, "aa"), 0.3)) == []
    assert of.fingerprint == "aa"
    work.record_answer(of_kind(second, A, "bb"), 0.4)
    assert work.attempt(second.id), "an answer of another fingerprint does not count any more"
    assert of.quarantined == set(), "a worker of another kind is not wrong"


def test_no_audit_is_waived_because_of_a_pin_that_nothing_stored_rests_on() -> None:
    work, of = unpinned({A: "bb", B: "aa", C: "aa"})
    first, second = sent(work, 0.0)
    work.record_answer(of_kind(first, B, "aa"), 0.1)
    work.record_answer(of_kind(only(sent(work, 0.1)), C, "aa"), 0.2)
    work.record_answer(of_kind(second, C, "aa"), 0.3)
    work.saw_workers({A: "bb", C: "aa"}, runs=1)
    assert kinds(work.woke(0.4)) == ["iteration_started_over"]
    assert of.fingerprint is None
    assert work.attempt(first.id), "what was held is asked for again"


def test_a_pin_goes_with_the_answers_of_the_worker_that_made_it() -> None:
    work, of = unpinned({A: "bb", B: "aa"}, audit=False)
    first, second = sent(work, 0.0)
    work.record_answer(of_kind(first, A, "bb"), 0.1)
    assert of.fingerprint == "bb"
    told: list[Command] = []
    for now in range(1, 1 + MOST_STRIKES):
        told += work.invalid(second, A, "wrong", now)
        second = sent(work, now + 0.5)[-1]
    assert quarantined(told) == [A]
    assert not of.demanded_fingerprint
    work.record_answer(of_kind(second, B, "aa"), 9.0)
    assert of.fingerprint == "aa"


def test_a_pin_that_no_living_worker_has_is_dropped_unless_something_rests_on_it() -> None:
    for is_stored in (False, True):
        work, of = unpinned({A: "bb", B: "aa"}, audit=False)
        work.record_answer(of_kind(sent(work, 0.0)[0], A, "bb"), 0.1)
        if is_stored:
            of.confirm()
        work.saw_workers({B: "aa"}, runs=1)
        assert kinds(work.woke(1.0)) == ([] if is_stored else ["iteration_started_over"])
        assert of.fingerprint == ("bb" if is_stored else None)


def pauses(work: Coordinator, worker: str, fingerprint: str) -> list[float]:
    """The seconds between one answer of this worker to a shard and the next attempt at it."""
    now, found = 0.0, list[float]()
    for _ in range(6):
        first = sent(work, now)[0]
        work.record_answer(of_kind(first, worker, fingerprint), now)
        found.append(work.next_wake(now) - now)
        now = work.next_wake(now)
    return found


@pytest.mark.parametrize("audit", [False, True])
def test_a_worker_that_nobody_sees_is_not_asked_again_at_once_each_time(audit: bool) -> None:
    """Its record is gone with a Redis that was restarted, and another's is there already."""
    work, of = unpinned({A: "bb"}, audit=audit)
    found = pauses(work, B, "aa")
    assert of.fingerprint is None
    assert found == sorted(found)
    assert found[-1] > 10 * found[0] > 0


def test_the_answer_of_a_worker_that_nobody_sees_counts_if_nobody_is_seen_at_all() -> None:
    work, of = unpinned({}, audit=False)
    [first, _] = sent(work, 0.0)
    work.record_answer(of_kind(first, B, "aa"), 0.1)
    assert of.fingerprint == "aa"
