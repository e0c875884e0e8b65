"""Audits: two workers must find the same bits, a third decides, the wrong one is set aside."""

from __future__ import annotations

from scheduler.commands import Attempt, Command, SetAside, Tell
from scheduler.coordinator import MOST_FAILURES, Coordinator
from scheduler.standing import MOST_STRIKES
from tests.support.coordination import A, B, C, answer, coordinator, indices, sent


def only(attempts: list[Attempt]) -> Attempt:
    [attempt] = attempts
    return attempt


def kinds(commands: list[Command]) -> list[str]:
    return [command.kind for command in commands if isinstance(command, Tell)]


def aside(commands: list[Command]) -> list[str]:
    return [command.worker for command in commands if isinstance(command, SetAside)]


def disputed() -> tuple[Coordinator, Attempt]:
    """A lies, B does not, and what was sent for a third to decide."""
    work = coordinator(workers=[A, B, C], audited=[0])
    work.answered(answer(only(sent(work, 0.0)), A, "wrong"), 0.1)
    told = work.answered(answer(only(sent(work, 0.2)), B), 0.3)
    assert kinds(told) == ["audit_mismatch"]
    return work, only(sent(work, 0.4))


def test_an_audited_shard_goes_out_again_at_once_to_somebody_else() -> None:
    work = coordinator(workers=[A, B], audited=[0])
    assert work.answered(answer(only(sent(work, 0.0)), A), 0.1) == []
    assert not work.finished
    second = only(sent(work, 0.1))
    assert second.not_for == {A}
    assert work.answered(answer(second, B), 0.2) == []
    assert work.finished


def test_only_what_is_audited_is_asked_for_twice() -> None:
    work = coordinator(each=3, workers=[A, B], audited=[1])
    work.answered(answer(only(sent(work, 0.0)), A), 0.1)
    second = only(sent(work, 0.1))
    assert [microbatch.index for microbatch in second.shard.microbatches] == [1]


def test_an_answer_that_comes_twice_does_not_confirm_itself() -> None:
    work = coordinator(workers=[A, B], audited=[0])
    first = only(sent(work, 0.0))
    work.answered(answer(first, A), 0.1)
    work.answered(answer(first, A), 0.2)
    assert not work.finished


def test_a_third_worker_decides_and_the_wrong_one_is_set_aside_and_named() -> None:
    work, third = disputed()
    assert third.not_for == {A, B}
    told = work.answered(answer(third, C), 0.5)
    assert aside(told) == [A]
    assert work.finished
    assert work.counted()[0].worker == B
    [command] = [one for one in told if isinstance(one, SetAside)]
    assert f"replay ({A})" in command.reason


def test_a_dispute_is_not_waived_but_waits_for_a_third_worker() -> None:
    work, third = disputed()
    work.saw_workers([A, B], runs=1)
    assert kinds(work.left(third, 0.6)) == []
    assert not work.finished


def test_the_right_one_of_two_answers_to_the_same_attempt_is_counted() -> None:
    work = coordinator(workers=[A, B, C], audited=[0])
    doubled = only(sent(work, 0.0))
    truth, lie = answer(doubled, A), answer(doubled, B, "wrong")
    work.answered(truth, 0.1)
    work.answered(lie, 0.2)
    assert aside(work.answered(answer(only(sent(work, 0.3)), C), 0.4)) == [B]
    assert work.counted()[0] is truth


def test_votes_of_the_one_set_aside_are_gone_from_the_whole_iteration() -> None:
    work = coordinator(2, workers=[A, B, C], audited=[0])
    audited, other = sent(work, 0.0)
    work.answered(answer(other, A, "wrong"), 0.1)
    work.answered(answer(audited, A, "wrong"), 0.1)
    work.answered(answer(only(sent(work, 0.2)), B), 0.3)
    work.answered(answer(only(sent(work, 0.4)), C), 0.5)
    again = only(sent(work, 0.6))
    assert indices([again]) == [other.shard.index]
    assert again.not_for == {A}


def test_without_a_second_worker_an_audit_is_waived_and_told() -> None:
    work = coordinator(workers=[A], audited=[0])
    told = work.answered(answer(only(sent(work, 0.0)), A), 0.1)
    assert kinds(told) == ["audit_waived"]
    assert work.finished


def test_when_the_second_worker_has_gone_the_audit_is_waived_once_the_first_leaves_it() -> None:
    work = coordinator(workers=[A, B], audited=[0])
    work.answered(answer(only(sent(work, 0.0)), A), 0.1)
    work.saw_workers([A], runs=1)
    assert kinds(work.left(only(sent(work, 0.2)), 0.3)) == ["audit_waived"]
    assert work.finished


def test_while_nobody_is_seen_an_audit_is_not_waived() -> None:
    work = coordinator(workers=[A, B], audited=[0])
    attempt = only(sent(work, 0.0))
    work.saw_workers([], runs=1)
    assert work.answered(answer(attempt, A), 0.1) == []
    assert not work.finished


def test_a_second_worker_that_says_nan_again_and_again_is_set_aside_and_the_audit_waived() -> None:
    work = coordinator(workers=[A, B], audited=[0])
    work.answered(answer(only(sent(work, 0.0)), A), 0.1)
    told: list[Command] = []
    for now in range(1, 1 + MOST_STRIKES):
        told += work.not_finite(only(sent(work, now)), B, now)
    assert aside(told) == [B]
    told = work.left(only(sent(work, 10.0)), 10.0)
    assert kinds(told) == ["audit_waived"]
    assert work.finished


def test_a_second_worker_that_fails_again_and_again_does_not_end_the_run() -> None:
    work = coordinator(workers=[A, B], audited=[0])
    work.answered(answer(only(sent(work, 0.0)), A), 0.1)
    told: list[Command] = []
    for now in range(1, 2 + MOST_FAILURES):
        told += work.failed(only(sent(work, now)), B, "out of memory", now)
    assert kinds(told) == ["audit_waived"]
    assert [command for command in told if not isinstance(command, Tell)] == []
    assert work.finished
