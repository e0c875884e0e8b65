"""Workers that are wrong, on a real Redis: found out, named, quarantined, and of no influence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tapeworks.model.config import RunConfig
from tapeworks.scheduler.core.standing import MOST_STRIKES
from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.errors import Interrupted
from tapeworks.storage.history import History
from tapeworks.storage.records import IterationRecord, RunRecord, RunStatus
from tests.support.calls import Call
from tests.support.fleet import Fleet
from tests.support.mischief import LyingWorker, not_a_number, of_another_term, with_arrays
from tests.support.training import Digests, Driven, drive, settings, submitted, through

pytestmark = pytest.mark.slow

Undisturbed = Callable[[RunConfig], Digests]


def liar(fleet: Fleet) -> str:
    return min(worker.name for worker in fleet.exchange.workers() if worker.fingerprint)


def counted_workers(history: History, run: RunRecord) -> set[str]:
    return {entry.worker for entry in history.ledger(run.id)}


def slightly_wrong(answer: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    return with_arrays(answer, "conv_1", 1e-3)


def audited(history: History, exchange: LyingWorker) -> tuple[Driven, RunRecord]:
    run = submitted(history, settings(shards=3, audit=1.0))
    return drive(history, through(exchange), run), run


def test_an_audit_finds_the_worker_that_lies_and_names_it(
    fleet: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    fleet.at_least(3)
    exchange = LyingWorker(fleet.redis_url, liar(fleet), slightly_wrong)
    driven, run = audited(history, exchange)
    assert driven.digests == undisturbed(settings())
    assert exchange.liar not in counted_workers(history, run)
    [told] = driven.said("worker_quarantined")
    assert exchange.liar in told
    assert "replay" in told
    assert all(exchange.liar in sentence for sentence in driven.said("audit_mismatch"))
    assert driven.said("audit_mismatch")


def test_an_audit_of_honest_workers_changes_no_bit_and_says_nothing(
    fleet: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    driven = drive(
        history,
        CeleryDispatcher(fleet.redis_url),
        submitted(history, settings(shards=3, audit=1.0)),
    )
    assert driven.digests == undisturbed(settings())
    kinds = {kind for kind, _ in driven.notices}
    assert not kinds & {"worker_quarantined", "audit_mismatch", "audit_waived"}
    attempts = [record.attempts for record in history.iterations(driven.run.id)]
    assert all(number >= 6 for number in attempts), attempts


def test_without_an_audit_a_lie_of_the_right_form_is_believed(
    fleet: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    """The audit is for this; and it proves that the lie of these tests is one."""
    exchange = LyingWorker(fleet.redis_url, liar(fleet), slightly_wrong)
    driven = drive(history, through(exchange), submitted(history, settings(shards=3)))
    assert exchange.lies
    assert driven.digests != undisturbed(settings())


@pytest.mark.parametrize("spoil", [of_another_term, not_a_number])
def test_three_invalid_answers_quarantine_a_worker_and_workers_says_so(
    spoil: Callable[[tuple[bytes, bytes]], tuple[bytes, bytes]],
    fleet: Fleet,
    history: History,
    undisturbed: Undisturbed,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", fleet.redis_url)
    exchange = LyingWorker(fleet.redis_url, liar(fleet), spoil)
    run, listed = submitted(history, settings(shards=7, iterations=12)), list[str]()

    def list_workers(_: IterationRecord) -> None:
        if not listed and history.workers_in_events(run.id, "worker_quarantined"):
            listed.extend(call("workers").out.splitlines())

    driven = drive(history, through(exchange), run, on_iteration=list_workers)
    assert driven.digests == undisturbed(settings(iterations=12))
    [told] = driven.said("worker_quarantined")
    assert f"{MOST_STRIKES} of its answers were invalid" in told
    assert exchange.liar not in counted_workers(history, run) or spoil is not of_another_term
    [line] = [line for line in listed if "quarantined" in line]
    assert exchange.liar in line
    assert f"quarantined for {run.id}" in line
    assert "quarantined" not in call("workers").out


def test_a_run_whose_every_worker_is_quarantined_waits_for_another(
    fleet: Fleet, history: History
) -> None:
    exchange = LyingWorker(fleet.redis_url, "", of_another_term)
    # Enough shards that each worker gets its strikes before one shard has failed too often.
    run, told = submitted(history, settings(shards=7)), list[str]()
    control = Control()

    def stop_waiting(kind: str, message: str) -> None:
        if kind == "no_workers":
            told.append(message)
            control.interrupt()

    with pytest.raises(Interrupted):
        drive(history, through(exchange), run, control=control, on_notice=stop_waiting)
    assert "that is not quarantined is ready; waiting for one" in told[0]
    left = history.find_run(run.id)
    assert (left.status, left.completed_iterations) == (RunStatus.PAUSED, 0)

    # SQL remembers them: nothing of the run is left in Redis, and nobody lies any more.
    control = Control()
    honest = CeleryDispatcher(fleet.redis_url)
    with pytest.raises(Interrupted):
        drive(history, honest, left, control=control, on_notice=stop_waiting)
    assert len(told) == 2
    assert history.find_run(run.id).completed_iterations == 0


def test_an_audit_without_a_second_worker_is_waived_in_plain_words(
    history: History, undisturbed: Undisturbed, lone_worker: Fleet
) -> None:
    run = submitted(history, settings(iterations=2, shards=1, audit=1.0))
    driven = drive(history, CeleryDispatcher(lone_worker.redis_url), run)
    assert driven.digests == undisturbed(settings(iterations=2))
    assert "no second worker" in driven.said("audit_waived")[0]
