"""The training loop's order: the next iteration is started, what waits is committed, then told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from tapeworks.model.networks.spec import GradientForm
from tapeworks.scheduler.dispatch.contract import Result, Watcher, Work
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.driving.driver import Driver
from tapeworks.scheduler.driving.keeper import Control, Keeper, Lease
from tapeworks.storage.commits import Commit
from tapeworks.storage.history import History
from tapeworks.storage.records import Claim, RunRecord
from tests.support.desk import SMALL
from tests.support.made_up import LEASE, submit_and_claim
from tests.support.training import drive, settings, submitted


class Noting(LocalDispatcher):
    """Notes what it is asked for, and by which object."""

    def __init__(self, events: list[str]) -> None:
        super().__init__()
        self._events, self._started = events, list[Work]()

    def start(self, work: Work, watcher: Watcher) -> None:
        """Note it."""
        self._events.append(f"start {work.iteration}")
        self._started.append(work)

    def compute(self, work: Work, watcher: Watcher) -> Result:
        """Note it, and whether it is what was started."""
        if work.wanted is GradientForm.NOTHING:
            self._events.append(f"evaluate {work.iteration}")
        else:
            begun = "go on with" if work in self._started else "begin"
            self._events.append(f"{begun} {work.iteration}")
        return super().compute(work, watcher)

    def end(self, run_id: str, term: int) -> None:
        """Note it."""
        self._events.append("end")


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The events in their order, commits included."""
    noted: list[str] = []
    commit = History.commit

    def noting(self: History, claim: Claim, commits: Sequence[Commit]) -> RunRecord:
        numbers = " ".join(str(one.iteration.iteration) for one in commits)
        noted.append(f"commit {numbers}")
        return commit(self, claim, commits)

    monkeypatch.setattr(History, "commit", noting)
    return noted


def evaluated(history: History, events: list[str]) -> list[str]:
    """The order of events in a run of four iterations with an evaluation after every second."""
    config = settings(**SMALL | {"iterations": 4, "evaluate_every": 2, "test_images": 8})
    drive(
        history,
        Noting(events),
        submitted(history, config),
        on_iteration=lambda record: events.append(f"tell {record.iteration}"),
    )
    return events


@pytest.mark.usefixtures("one_by_one")
def test_the_next_iteration_is_started_before_a_commit_unless_an_evaluation_is_due(
    history: History, events: list[str]
) -> None:
    first = ["begin 0", "start 1", "commit 0", "tell 0"]
    second = ["go on with 1", "commit 1", "tell 1", "evaluate 2"]
    third = ["begin 2", "start 3", "commit 2", "tell 2"]
    last = ["go on with 3", "commit 3", "tell 3", "evaluate 4", "end"]
    assert evaluated(history, events) == first + second + third + last


@pytest.mark.usefixtures("together")
def test_the_first_iteration_is_committed_at_once_and_what_waits_before_an_evaluation(
    history: History, events: list[str]
) -> None:
    first = ["begin 0", "start 1", "commit 0", "tell 0"]
    second = ["go on with 1", "commit 1", "tell 1", "evaluate 2"]
    third = ["begin 2", "start 3"]
    last = ["go on with 3", "commit 2 3", "tell 2", "tell 3", "evaluate 4", "end"]
    assert evaluated(history, events) == first + second + third + last


def test_a_run_that_is_to_stop_is_committed_and_nothing_more_is_started(
    history: History, events: list[str]
) -> None:
    control = Control()
    control.drain()
    run = submitted(history, settings(**SMALL | {"iterations": 4}))
    driven = drive(history, Noting(events), run, control=control)
    assert events == ["begin 0", "commit 0", "end"]
    assert driven.run.completed_iterations == 1


@pytest.mark.usefixtures("one_by_one")
def test_an_iteration_that_follows_begins_before_the_commit_of_the_one_before(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[datetime] = []
    commit = History.commit

    def noting(self: History, claim: Claim, waiting: Sequence[Commit]) -> RunRecord:
        commits.append(datetime.now(UTC))
        return commit(self, claim, waiting)

    monkeypatch.setattr(History, "commit", noting)
    run = submitted(history, settings(**SMALL | {"iterations": 4}))
    drive(history, LocalDispatcher(), run)
    _, *following = history.iterations(run.id)
    assert all(one.started_at <= at for one, at in zip(following, commits, strict=False))


def test_who_keeps_a_run_goes_on_until_somebody_wants_it_to_stop(history: History) -> None:
    claim, control = submit_and_claim(history), Control()
    driver = Driver(
        history=history,
        dispatcher=LocalDispatcher(),
        control=control,
        lease=Lease(seconds=LEASE, renew_seconds=0.0),
    )
    keeper = Keeper(driver, history, claim)

    def goes_on() -> bool:
        keeper.tick()
        return keeper.goes_on(1)

    assert goes_on()
    history.queue.pause(claim.run_id)
    assert not goes_on()
    history.queue.resume(claim.run_id)
    assert goes_on()
    control.drain()
    assert not goes_on()
