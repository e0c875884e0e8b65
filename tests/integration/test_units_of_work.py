"""Units of work on real databases: done twice they leave the same as once, and can be watched."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from sqlalchemy import select

from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import LeaseLost
from tapeworks.storage.history import History
from tapeworks.storage.records import RunStatus
from tapeworks.storage.tables import runs
from tests.support.commits import Moment, ObservedDatabase
from tests.support.made_up import LEASE, commit, kinds, submit, submit_and_claim

Result = TypeVar("Result")


@pytest.fixture
def history(either_history: History) -> History:
    return either_history


def test_an_observer_is_called_around_the_commit_of_a_writer_alone(database_url: str) -> None:
    seen: list[tuple[Moment, int]] = []

    def observe(moment: Moment) -> None:
        with outside.read() as connection:  # sees what is committed
            seen.append((moment, len(connection.execute(select(runs.c.id)).all())))

    outside, observed = Database(database_url), ObservedDatabase(database_url, observe)
    outside.upgrade()
    history = History(observed)
    history.find_run(submit(history).id)
    assert seen == [("before_commit", 0), ("after_commit", 1)]
    for database in (outside, observed):
        database.close()


def test_a_unit_of_work_is_done_as_often_as_is_asked(history: History) -> None:
    claim, done = submit_and_claim(history), list[object]()

    def twice(unit: Callable[[], Result]) -> Result:
        done.extend([unit(), unit()])
        return unit()

    patient = history.patient(twice)
    commit(patient, claim)
    patient.add_event(claim, "worker refused", "worker-2 has another fingerprint")
    patient.finish(claim, RunStatus.COMPLETED)
    assert len(done) == 8  # the event asks the database for its time first
    assert kinds(history, claim.run_id) == [
        "submitted",
        "claimed",
        "worker refused",
        "completed",
    ]
    assert len(history.iterations(claim.run_id)) == 1


def test_who_has_left_a_run_may_tell_its_story_until_the_next_claim(history: History) -> None:
    claim = submit_and_claim(history)
    history.release(claim, RunStatus.QUEUED, None)
    history.add_event(claim, "database_back", "The database is back.")
    history.claim_next("bob", LEASE)
    with pytest.raises(LeaseLost):
        history.add_event(claim, "database_back", "The database is back.")
