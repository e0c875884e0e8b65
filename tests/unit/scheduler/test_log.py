"""The lines of a scheduler's log name the runs that they are about."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tapeworks.scheduler.driving.log import Log
from tapeworks.scheduler.events import IterationCommitted, Notice, RunClaimed, RunLeft
from tapeworks.storage.records import Claim
from tapeworks.wire.log_context import about
from tests.support.made_up import iteration_of

NIGHT = Claim(run_id="one", owner="alice", term=1, name="night")
DAY = Claim(run_id="other", owner="alice", term=1)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    caplog.set_level("INFO")
    log = Log()
    log(RunClaimed(NIGHT, 10.0))
    return log


def test_names_stand_beside_ids_and_each_run_has_lines_of_its_own(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    log(RunClaimed(DAY, 10.0))
    for claim in (NIGHT, DAY, NIGHT):
        log(IterationCommitted(replace(iteration_of(claim), loss=1e20)))
    assert caplog.messages == [
        "Run other begins",
        "Run one (night): iteration 1, loss 1.0000e+20",
        "Run other: iteration 1, loss 1.0000e+20",
    ]


def test_an_iteration_of_fewer_images_says_so(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    for images in (20, 4, 20):
        log(IterationCommitted(replace(iteration_of(NIGHT), loss=2.0, images=images)))
    usual = "Run one (night): iteration 1, loss 2.0000"
    assert caplog.messages == [usual, f"{usual}, sum over 4 images", usual]


def test_a_sentence_names_its_run(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    def notice(sentence: str) -> str:
        with about(run="one"):
            log(Notice("no_workers", sentence))
        return caplog.messages[-1]

    assert notice("No worker is ready.") == "Run one (night): No worker is ready."
    assert notice("Run one (night): gone") == "Run one (night): gone"
    log(Notice("database_back", "The database is back."))
    assert caplog.messages[-1] == "The database is back.", "it is about no run"
    log(RunLeft("one"))
    assert notice("No worker is ready.") == "No worker is ready."


def test_lines_for_programs_have_the_runs_name(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    log(RunClaimed(DAY, 10.0))
    log(IterationCommitted(iteration_of(NIGHT)))
    told = [record.__dict__ for record in caplog.records]
    assert [(one["run"], one["run_name"]) for one in told] == [("other", None), ("one", "night")]
