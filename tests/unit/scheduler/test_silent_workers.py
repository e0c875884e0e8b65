"""Workers that show themselves and never answer: how long a shard waits for them alone."""

from __future__ import annotations

from tapeworks.scheduler.core.coordinator import MOST_FAILURES, Coordinator
from tapeworks.scheduler.core.decisions import Attempt, Command, Pause, Tell
from tapeworks.scheduler.core.sending import UNHEARD_SECONDS
from tapeworks.scheduler.core.settling import STUCK_SECONDS
from tests.support.coordination import A, B, C, answer, coordinator, sends

#: Long enough for everything that is to happen.
END = 4 * UNHEARD_SECONDS


Asked = tuple[list[Command], Attempt | None, float]


def asked(work: Coordinator, worker: str, now: float) -> Asked:
    """Let time pass until a message comes that this worker may answer; it leaves all others."""
    told: list[Command] = []
    while now < END:
        commands = work.woke(now)
        told += [command for command in commands if isinstance(command, Tell | Pause)]
        for send in sends(commands):
            if worker not in send.attempt.not_for:
                return told, send.attempt, now
            work.record_no_result(send.attempt, now)
        now = min(work.next_wake(now), now + 1.0)
    return told, None, now


def only(work: Coordinator, worker: str, now: float) -> tuple[Attempt, float]:
    _, attempt, now = asked(work, worker, now)
    assert attempt
    return attempt, now


def test_a_run_that_looks_diverged_is_paused_where_a_worker_never_answers() -> None:
    work = coordinator(workers=[A, B, C])
    attempt, now = only(work, A, 0.0)
    assert work.not_finite(attempt, A, now) == []
    attempt, now = only(work, B, now)
    assert work.not_finite(attempt, B, now) == []
    attempt, later = only(work, A, now)
    assert later - now > UNHEARD_SECONDS, "the third one had its time"
    [paused] = work.not_finite(attempt, A, later)
    assert isinstance(paused, Pause)
    assert f"{C}, here too, does not answer" in paused.reason


def test_who_failed_once_is_asked_again_when_nobody_else_answers() -> None:
    work = coordinator(workers=[A, C])
    attempt, now = only(work, A, 0.0)
    work.record_failure(attempt, A, "an error", now)
    attempt, now = only(work, A, now)
    work.record_answer(answer(attempt, A), now)
    assert work.finished


def test_a_shard_that_fails_again_and_again_pauses_a_run_whose_other_worker_is_silent() -> None:
    work, now, found = coordinator(workers=[A, B, C]), 0.0, list[Command]()
    for number in range(MOST_FAILURES + 1):
        worker = [A, B][number % 2]
        attempt, now = only(work, worker, now)
        assert found == []
        found = work.record_failure(attempt, worker, "an error", now)
    [paused] = found
    assert isinstance(paused, Pause)
    assert now < 2 * UNHEARD_SECONDS, "it is waited for once"


def test_an_audit_waits_for_a_silent_worker_and_says_so_and_is_not_waived() -> None:
    work = coordinator(workers=[A, C], audited=[0])
    attempt, now = only(work, A, 0.0)
    work.record_answer(answer(attempt, A), now)
    [told], again, later = asked(work, A, now)
    assert isinstance(told, Tell)
    assert (told.kind, f"{C} does not answer" in told.message) == ("audit_waits", True)
    assert later - now > UNHEARD_SECONDS + STUCK_SECONDS
    assert again, "both are asked again"
    work.record_answer(answer(again, C), later)
    work.record_answer(answer(again, A), later)
    assert work.finished


def test_a_silent_worker_that_answers_after_all_is_heard() -> None:
    work = coordinator(workers=[A, B, C])
    attempt, now = only(work, A, 0.0)
    work.not_finite(attempt, A, now)
    third, now = only(work, B, now)
    work.not_finite(third, B, now)
    _, now = only(work, A, now)
    work.record_answer(answer(third, C), now)
    assert work.finished


def test_while_messages_wait_in_the_queue_nobody_is_silent() -> None:
    work = coordinator(workers=[A, C])
    work.saw_workers({A: "aa", C: "aa"}, runs=1, queue_length=1000)
    attempt, now = only(work, A, 0.0)
    work.record_failure(attempt, A, "an error", now)
    assert asked(work, A, now)[1] is None
