"""A run that no living worker can compute, at the head of the queue."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.scheduler.driving.driver import Driver
from tapeworks.scheduler.driving.keeper import Control, Lease
from tapeworks.scheduler.driving.service import serve
from tapeworks.scheduler.events import Event, Notice, RunClaimed, RunReleased
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord, RunStatus
from tapeworks.storage.tables import runs
from tests.support.fleet import Fleet
from tests.support.training import settings, submitted

pytestmark = pytest.mark.slow

#: A fingerprint that no worker of this machine has.
ELSEWHERE = "0" * 16


def pin_elsewhere(history: History, run: RunRecord) -> None:
    """Have workers that are not there any more begin the run."""
    with history.database.write() as connection:
        elsewhere = update(runs).where(runs.c.id == run.id).values(fingerprint=ELSEWHERE)
        connection.execute(elsewhere)


def test_a_run_that_no_worker_can_compute_gives_its_place_to_one_that_is_queued(
    fleet: Fleet, history: History
) -> None:
    stuck, later = submitted(history, settings(), name="stuck"), list[RunRecord]()
    pin_elsewhere(history, stuck)
    control, claimed = Control(), list[str]()

    def listen(event: Event) -> None:
        match event:
            case Notice(kind="no_workers"):
                later.append(submitted(history, settings(iterations=2), name="later"))
            case RunClaimed(claim=claim):
                claimed.append(claim.run_id)
            case RunReleased(run=run) if run.status is RunStatus.COMPLETED:
                control.drain()

    driver = Driver(
        history=history,
        dispatcher=CeleryDispatcher(fleet.redis_url),
        control=control,
        events=listen,
        lease=Lease(renew_seconds=0.1),
    )
    serve(driver)

    assert claimed == [stuck.id, later[0].id]
    assert history.find_run(later[0].id).status is RunStatus.COMPLETED
    left = history.find_run(stuck.id)
    assert left.status is RunStatus.QUEUED
    assert f"no worker of fingerprint {ELSEWHERE} is there" in str(left.reason)
    assert any("given back" in event.message for event in history.events(stuck.id))
