"""A scheduler, worker or machine at a standstill does not stand in the way of the others."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.driving.driver import Driver
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.driving.service import serve
from tapeworks.scheduler.errors import Interrupted
from tapeworks.storage.errors import StateConflict
from tapeworks.storage.history import History
from tapeworks.storage.owners import current_owner
from tapeworks.storage.records import RunRecord, RunStatus
from tapeworks.storage.tables import runs
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.keys import RUNS_KEY, arrivals_key, current_key, network_key
from tapeworks.wire.messages import AnswerHeader
from tests.support.fleet import Fleet
from tests.support.listeners import drain_after
from tests.support.messages import announce
from tests.support.mischief import Answer, OnceSpoilt
from tests.support.training import drive, settings, submitted, through

pytestmark = pytest.mark.slow

#: A fingerprint that no worker here has.
FOREIGN = "0" * 16

#: Nothing listens there.
NOWHERE = "redis://127.0.0.1:1/0"


def change(history: History, run: RunRecord, **values: str) -> None:
    with history.database.write() as connection:
        connection.execute(update(runs).where(runs.c.id == run.id).values(**values))


def foreign_and_damaged(answer: Answer) -> Answer:
    header = AnswerHeader.model_validate_json(answer[0])
    changed = header.model_copy(update={"fingerprint": FOREIGN})
    return changed.model_dump_json().encode(), answer[1][:-1]


def test_a_damaged_answer_pins_no_fingerprint(fleet: Fleet, history: History) -> None:
    exchange = OnceSpoilt(fleet.redis_url, foreign_and_damaged)
    driven = drive(history, through(exchange), submitted(history, settings(iterations=1)))
    assert driven.run.fingerprint == fleet.fingerprint()
    assert len(driven.said("answer_invalid")) == 1


def test_without_a_fitting_worker_one_interrupt_is_enough_and_nothing_is_sent_twice(
    fleet: Fleet, history: History
) -> None:
    run, control = submitted(history, settings()), Control()
    change(history, run, fingerprint=FOREIGN)

    def stop(kind: str, _: str) -> None:
        if kind == "worker_refused":
            control.interrupt()

    with pytest.raises(Interrupted):
        drive(history, CeleryDispatcher(fleet.redis_url), run, control=control, on_notice=stop)
    kinds = [event.kind for event in history.events(run.id)]
    assert kinds.count("no_workers") == 1
    assert "sent_again" not in kinds


def test_a_run_that_cannot_go_on_here_is_paused_and_the_next_one_is_served(
    history: History,
) -> None:
    stuck, good = submitted(history, settings()), submitted(history, settings(iterations=1))
    change(history, stuck, images_digest=FOREIGN)
    control, local = Control(), LocalDispatcher()
    serve(Driver(history=history, dispatcher=local, control=control, events=drain_after(control)))
    assert history.find_run(good.id).status is RunStatus.COMPLETED
    paused = history.find_run(stuck.id)
    assert paused.status is RunStatus.PAUSED
    assert "other images" in str(paused.reason)


def test_an_owner_of_yesterday_leaves_the_keys_of_todays(fleet: Fleet) -> None:
    exchange, redis = Exchange(fleet.redis_url), fleet.redis
    exchange.announce_run("handed-over", settings().built_in)
    announce(exchange, "handed-over", term=2, iteration=5)
    redis.rpush(arrivals_key("handed-over"), "late")
    exchange.forget_run("handed-over", term=1)
    assert redis.get(current_key("handed-over")) == b"2:5"
    assert redis.exists(network_key("handed-over"))
    assert redis.sismember(RUNS_KEY, "handed-over")
    assert redis.exists(arrivals_key("handed-over"))
    exchange.forget_run("handed-over", term=2)
    assert not redis.exists(
        *[key("handed-over") for key in (current_key, network_key, arrivals_key)]
    )


def test_a_network_that_cannot_be_read_keeps_no_worker_from_starting(fleet: Fleet) -> None:
    fleet.redis.set(network_key("of-another-version"), '{"sides": 3}', ex=60)
    fleet.redis.sadd(RUNS_KEY, "of-another-version")
    try:
        assert settings().built_in not in Exchange(fleet.redis_url).networks()
    finally:
        fleet.redis.srem(RUNS_KEY, "of-another-version")


def test_leaving_a_run_does_not_need_redis() -> None:
    CeleryDispatcher(NOWHERE).end("gone", term=1)


def test_a_living_owner_that_is_late_loses_its_run_to_a_claim_only(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submitted(history, settings())
    claim = history.claim(run.id, current_owner(), lease_seconds=10)
    later = history.database.now() + timedelta(seconds=60)
    monkeypatch.setattr(history.database, "now", lambda: later)
    assert history.release_abandoned() == []
    assert history.renew(claim, lease_seconds=-1).status is RunStatus.RUNNING
    taken = history.claim(run.id, "another:boot:1:2", lease_seconds=10)
    assert taken.term == claim.term + 1
    with pytest.raises(StateConflict):
        history.claim(run.id, current_owner(), lease_seconds=10)
