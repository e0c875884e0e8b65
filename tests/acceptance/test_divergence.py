"""A learning rate that is too large ends the run as failed, alike with a queue and without."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.scheduler.dispatch.contract import Dispatcher
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.errors import RunFailed
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord, RunStatus
from tests.support.calls import Call
from tests.support.fleet import Fleet
from tests.support.training import digests, drive, settings, submitted


def diverged(history: History, dispatcher: Dispatcher, learning_rate: float) -> RunRecord:
    run = submitted(history, settings(learning_rate=learning_rate, iterations=30))
    with pytest.raises(RunFailed, match="NaN or infinite"):
        drive(history, dispatcher, run)
    return history.find_run(run.id)


@pytest.mark.parametrize("learning_rate", [1e5, 1e10, 1e20, 1e30])
def test_a_run_that_diverges_fails_in_the_same_iteration_with_a_queue_and_without(
    learning_rate: float, fleet: Fleet, history: History
) -> None:
    here = diverged(history, LocalDispatcher(), learning_rate)
    there = diverged(history, CeleryDispatcher(fleet.redis_url), learning_rate)
    assert here.status is there.status is RunStatus.FAILED
    assert here.reason == there.reason
    assert f"in iteration {here.completed_iterations};" in str(here.reason)
    assert digests(history, here.id) == digests(history, there.id)
    assert here.ended_at is not None
    assert len(history.iterations(here.id)) == here.completed_iterations


def test_training_that_diverges_ends_with_code_1_and_keeps_the_history_before(
    places: Path, call: Call
) -> None:
    called = call("train --workers 0 --learning-rate 1e20 --iterations 9 --name wild --json")
    assert called.code == 1
    assert called.last_words.startswith("tapeworks: ")
    assert "NaN or infinite in iteration 1" in called.last_words
    assert "Traceback" not in called.err
    shown = call("show wild --json").values
    assert (shown["status"], shown["completed_iterations"]) == ("failed", 1)
    assert len(shown["losses"]) == 1
    with closing(sqlite3.connect(places / "runs.db")) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM iterations").fetchall()
    assert count == 1
    told = call("runs").out + call("show wild").out + call("watch wild").err
    assert not re.search(r"\d{10}\.", told)
    assert call("watch wild").code == 1
    assert call("train --workers 0 --resume wild").code == 2
