"""Iterations that wait to be committed together: each is committed, whatever ends the waiting."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import update

from tapeworks.model.config import RunConfig
from tapeworks.scheduler import committing
from tapeworks.scheduler.dispatch.contract import Result, Watcher, Work
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.driving.driver import STOPPED, Driver
from tapeworks.scheduler.driving.keeper import Control, Lease
from tapeworks.scheduler.errors import Interrupted, RunFailed
from tapeworks.scheduler.events import IterationCommitted, Listener, ignore
from tapeworks.storage.commits import Commit
from tapeworks.storage.errors import LeaseLost
from tapeworks.storage.history import History
from tapeworks.storage.records import Claim, RunRecord, RunStatus
from tapeworks.storage.tables import runs
from tapeworks.wire.errors import RedisMisconfigured
from tests.support.desk import SMALL
from tests.support.listeners import on
from tests.support.training import Digests, drive, settings, submitted

CONFIG = settings(**SMALL | {"iterations": 6})

#: Called when an iteration is asked for, before it is computed.
Act = Callable[[], object]


class Acting(LocalDispatcher):
    """Acts before iterations of certain numbers are computed, or handed out ahead."""

    def __init__(self, acts: dict[int, Act], moment: str = "computing") -> None:
        super().__init__()
        self._acts, self._moment = acts, moment

    def start(self, work: Work, watcher: Watcher) -> None:
        """As the real one, but for the act."""
        self._act("starting", work)
        super().start(work, watcher)

    def compute(self, work: Work, watcher: Watcher) -> Result:
        """As the real one, but for the act."""
        self._act("computing", work)
        return super().compute(work, watcher)

    def _act(self, moment: str, work: Work) -> None:
        if moment == self._moment and work.iteration in self._acts:
            self._acts[work.iteration]()


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The iterations of each transaction, in their order."""
    noted: list[list[int]] = []
    commit = History.commit

    def noting(self: History, claim: Claim, commits: list[Commit]) -> RunRecord:
        noted.append([one.iteration.iteration for one in commits])
        return commit(self, claim, commits)

    monkeypatch.setattr(History, "commit", noting)
    return noted


@pytest.fixture
def run(history: History) -> RunRecord:
    return submitted(history, CONFIG)


def driver(
    history: History,
    dispatcher: LocalDispatcher,
    control: Control | None = None,
    events: Listener = ignore,
) -> Driver:
    """One that hears at once what a person wants."""
    return Driver(
        history=history,
        dispatcher=dispatcher,
        control=control or Control(),
        stopped_status=RunStatus.PAUSED,
        lease=Lease(renew_seconds=0.0),
        events=events,
    )


@pytest.mark.usefixtures("together")
def test_the_first_iteration_is_committed_at_once_and_all_others_at_the_end(
    history: History,
    run: RunRecord,
    groups: list[list[int]],
    undisturbed: Callable[[RunConfig], Digests],
) -> None:
    driven = drive(history, LocalDispatcher(), run)
    assert groups == [[0], [1, 2, 3, 4, 5]]
    assert driven.digests == undisturbed(CONFIG)


@pytest.mark.usefixtures("one_by_one")
def test_iterations_of_which_none_is_short_are_committed_one_by_one(
    history: History, run: RunRecord, groups: list[list[int]]
) -> None:
    drive(history, LocalDispatcher(), run)
    assert groups == [[number] for number in range(6)]


class Clock:
    """A time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


def test_an_iteration_waits_until_half_a_second_has_gone_by_since_the_last_commit(
    history: History, run: RunRecord, groups: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(committing, "time", clock)

    def take(seconds: float) -> Act:
        return lambda: clock.spend(seconds)

    took = {0: 9.0, 1: 0.2, 2: 0.2, 3: 0.2, 4: 0.6, 5: 0.1}
    drive(history, Acting({number: take(seconds) for number, seconds in took.items()}), run)
    assert groups == [[0], [1, 2, 3], [4], [5]]


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("wanted", [1, 2, 4])
def test_a_run_is_left_after_exactly_so_many_iterations(
    history: History, run: RunRecord, wanted: int
) -> None:
    stopped = drive(history, LocalDispatcher(), run, stop_after=wanted).run
    assert (stopped.status, stopped.completed_iterations) == (RunStatus.PAUSED, wanted)
    assert stopped.reason == STOPPED


@pytest.mark.usefixtures("together")
def test_what_waits_is_committed_when_the_user_wants_to_stop(
    history: History, run: RunRecord, groups: list[list[int]]
) -> None:
    control = Control()
    left = drive(history, Acting({3: control.interrupt}), run, control=control).run
    assert (left.status, left.reason) == (RunStatus.PAUSED, STOPPED)
    assert groups == [[0], [1, 2, 3]]


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("moment", ["computing", "starting"])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RunFailed("it diverged"), RunStatus.FAILED),
        (RedisMisconfigured("a wrong password"), RunStatus.PAUSED),
        (ZeroDivisionError("a defect"), RunStatus.PAUSED),
    ],
    ids=["the run fails", "no run can go on", "a defect"],
)
@pytest.mark.parametrize("is_to_stop", [False, True], ids=["", "while it is to stop"])
def test_what_was_computed_before_an_error_is_committed_and_the_error_is_told(
    history: History,
    run: RunRecord,
    groups: list[list[int]],
    moment: str,
    error: Exception,
    status: RunStatus,
    is_to_stop: bool,
) -> None:
    control, told = Control(), list[int]()

    def act() -> None:
        if is_to_stop:
            control.drain()
        raise error

    tell = on(IterationCommitted, lambda event: told.append(event.record.iteration))
    driving = driver(history, Acting({3: act}, moment), control, tell)
    with pytest.raises(type(error)):
        driving.drive(driving.claim(run.id))
    assert groups == [[0], [1, 2]]
    assert told == [0, 1, 2]
    left = history.find_run(run.id)
    assert (left.status, left.completed_iterations) == (status, 3)
    assert str(error) in str(left.reason)


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize(
    ("wish", "status", "completed"),
    [("pause", RunStatus.PAUSED, 4), ("cancel", RunStatus.CANCELLED, 3)],
)
def test_what_was_computed_before_a_person_ends_the_run_is_committed(
    history: History, run: RunRecord, wish: str, status: RunStatus, completed: int
) -> None:
    driving = driver(history, Acting({3: lambda: getattr(history.queue, wish)(run.id)}))
    driving.drive(driving.claim(run.id))
    left = history.find_run(run.id)
    assert (left.status, left.completed_iterations) == (status, completed)


@pytest.mark.usefixtures("together")
def test_what_was_computed_before_its_user_stops_it_at_once_is_committed(
    history: History, run: RunRecord
) -> None:
    control = Control()

    def insist() -> None:
        control.interrupt()
        control.interrupt()

    driving = driver(history, Acting({3: insist}), control)
    with pytest.raises(Interrupted, match="stopped at once"):
        driving.drive(driving.claim(run.id))
    left = history.find_run(run.id)
    assert (left.status, left.completed_iterations) == (RunStatus.PAUSED, 3)


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("moment", ["computing", "starting"])
def test_nothing_of_what_waits_is_committed_by_an_owner_whose_lease_is_lost(
    history: History, run: RunRecord, groups: list[list[int]], moment: str
) -> None:
    def take_over() -> None:
        with history.database.write() as connection:
            later = update(runs).where(runs.c.id == run.id).values(term=2, owner="bob")
            connection.execute(later)

    driving = driver(history, Acting({3: take_over}, moment))
    with pytest.raises(LeaseLost):
        driving.drive(driving.claim(run.id))
    assert groups == [[0], [1, 2]]  # tried, and refused
    left = history.find_run(run.id)
    assert (left.status, left.owner, left.completed_iterations) == (RunStatus.RUNNING, "bob", 1)
    assert [record.iteration for record in history.iterations(run.id)] == [0]


@pytest.mark.usefixtures("together")
def test_a_commit_that_fails_is_not_tried_a_second_time(
    history: History, run: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = list[int]()

    def fail(self: History, claim: Claim, commits: list[Commit]) -> RunRecord:
        tried.append(len(commits))
        raise LeaseLost("it is another's")

    monkeypatch.setattr(History, "commit", fail)
    driving = driver(history, LocalDispatcher())
    with pytest.raises(LeaseLost):
        driving.drive(driving.claim(run.id))
    assert tried == [1]
