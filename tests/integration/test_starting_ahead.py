"""The next iteration is sent before a commit: what becomes of it, whatever happens meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest
from sqlalchemy import update

from tapeworks.model.config import RunConfig
from tapeworks.model.datasets import load
from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.scheduler.dispatch.contract import Work
from tapeworks.scheduler.driving.driver import Driver
from tapeworks.scheduler.driving.keeper import Control, Lease
from tapeworks.scheduler.errors import Interrupted
from tapeworks.scheduler.events import AttemptSent, Listener
from tapeworks.storage.commits import Commit
from tapeworks.storage.errors import LeaseLost
from tapeworks.storage.history import History
from tapeworks.storage.records import Claim, IterationRecord, RunRecord, RunStatus
from tapeworks.storage.tables import runs
from tapeworks.wire.keys import answer_key, arrivals_key, current_key
from tests.faults.fuzzing.problem import Onlooker
from tests.support.fleet import Fleet
from tests.support.listeners import on
from tests.support.training import Digests, drive, settings, submitted
from tests.support.waiting import until

#: Called with an iteration that is computed, before it is committed.
Act = Callable[[Claim, IterationRecord], object]

SHARDS, ITERATIONS = 3, 4
CONFIG = settings(shards=SHARDS, iterations=ITERATIONS)

#: Nothing listens there.
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def dispatcher(fleet: Fleet) -> CeleryDispatcher:
    return CeleryDispatcher(fleet.redis_url)


@pytest.fixture
def expected(undisturbed: Callable[[RunConfig], Digests]) -> Digests:
    """The bits of the run in one process; computed before any commit is interfered with."""
    return undisturbed(settings(iterations=ITERATIONS))


@pytest.fixture
def before_commits(
    monkeypatch: pytest.MonkeyPatch,
    expected: Digests,
    one_by_one: None,
) -> Callable[[Act], None]:
    """Lets a test act before each commit, which is of one iteration."""
    commit = History.commit

    def act_first(act: Act) -> None:
        def acting(self: History, claim: Claim, commits: Sequence[Commit]) -> RunRecord:
            [one] = commits
            act(claim, one.iteration)
            return commit(self, claim, commits)

        monkeypatch.setattr(History, "commit", acting)

    return act_first


class Clock:
    """The gathering's time, which jumps where a test would have to wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        monkeypatch.setattr("tapeworks.scheduler.dispatch.gathering.time", self)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


def answers_after(fleet: Fleet, record: IterationRecord) -> list[str]:
    """Wait until all shards of the next iteration are answered; nobody takes the answers."""
    begin = f"{record.run_id}.{record.term}.{record.iteration + 1}."

    def names() -> list[str]:
        arrivals = [_text(one) for one in fleet.redis.lrange(arrivals_key(record.run_id), 0, -1)]
        found = [one for one in arrivals if one.startswith(begin)]  # copies of old ones lie there
        return found if len(found) == SHARDS else []

    return until(names, "the next iteration's answers are there")


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def test_answers_that_come_during_a_long_commit_are_counted_after_it_and_not_asked_for_again(
    fleet: Fleet,
    history: History,
    expected: Digests,
    dispatcher: CeleryDispatcher,
    before_commits: Callable[[Act], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)

    def commit_for_long(_: Claim, record: IterationRecord) -> None:
        if record.iteration + 1 < ITERATIONS:
            answers_after(fleet, record)
            clock.ahead += 1000.0

    before_commits(commit_for_long)
    driven = drive(history, dispatcher, submitted(history, CONFIG))
    assert driven.digests == expected
    started = history.iterations(driven.run.id)[1:]
    assert [record.attempts for record in started] == [SHARDS] * len(started)
    assert driven.said("sent_again") == []
    pace = dispatcher._link.standing.pace
    assert pace.seconds is not None
    assert pace.seconds < 100.0  # it is the workers', not the database's


def test_answers_that_expire_during_a_commit_are_asked_for_again(
    fleet: Fleet,
    history: History,
    expected: Digests,
    dispatcher: CeleryDispatcher,
    before_commits: Callable[[Act], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)

    def let_expire(_: Claim, record: IterationRecord) -> None:
        if record.iteration == 1:
            names = answers_after(fleet, record)
            fleet.redis.delete(*[answer_key(name) for name in names])
            clock.ahead += 1000.0

    before_commits(let_expire)
    driven = drive(history, dispatcher, submitted(history, CONFIG))
    assert driven.digests == expected
    assert history.iterations(driven.run.id)[2].attempts >= 2 * SHARDS


def test_a_pause_during_a_commit_drops_what_was_started(
    fleet: Fleet,
    history: History,
    expected: Digests,
    dispatcher: CeleryDispatcher,
    before_commits: Callable[[Act], None],
) -> None:
    def pause(_: Claim, record: IterationRecord) -> None:
        if record.iteration == 1:
            answers_after(fleet, record)
            history.queue.pause(record.run_id)

    before_commits(pause)
    run = submitted(history, CONFIG)
    driver = Driver(history=history, dispatcher=dispatcher)
    driver.drive(driver.claim(run.id))
    run = history.find_run(run.id)
    assert (run.status, run.completed_iterations) == (RunStatus.PAUSED, 2)
    assert dispatcher.gathering is None
    assert not fleet.redis.exists(current_key(run.id))

    before_commits(lambda *_: None)
    history.queue.resume(run.id)
    assert drive(history, dispatcher, run).digests == expected


def test_a_lease_that_is_lost_before_a_commit_drops_what_was_started(
    fleet: Fleet,
    history: History,
    dispatcher: CeleryDispatcher,
    before_commits: Callable[[Act], None],
) -> None:
    run = submitted(history, CONFIG)

    def take_over(claim: Claim, record: IterationRecord) -> None:
        if record.iteration == 1:
            answers_after(fleet, record)
            with history.database.write() as connection:
                later = update(runs).where(runs.c.id == run.id).values(term=claim.term + 1)
                connection.execute(later)

    before_commits(take_over)
    with pytest.raises(LeaseLost):
        drive(history, dispatcher, run)
    assert history.find_run(run.id).completed_iterations == 1
    assert dispatcher.gathering is None


def at_message(iteration: int, act: Callable[[str], object]) -> Listener:
    """Act when a message of the iteration with this number is sent for the first time."""
    acted = list[str]()

    def sent(event: AttemptSent) -> None:
        if event.key.iteration == iteration and not acted:
            acted.append(event.key.run)
            act(event.key.run)

    return on(AttemptSent, sent)


@pytest.mark.parametrize("waiting", ["one_by_one", "together"])
@pytest.mark.parametrize("wish", ["stop at once", "cancel"])
def test_an_iteration_is_committed_though_the_next_one_may_not_be_started(
    wish: str, waiting: str, fleet: Fleet, history: History, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(waiting)
    control = Control()

    def wishes(run_id: str) -> None:
        if wish == "cancel":
            history.queue.cancel(run_id)
        else:
            control.interrupt()
            control.interrupt()

    driver = Driver(
        history=history,
        dispatcher=CeleryDispatcher(fleet.redis_url),
        events=at_message(2, wishes),
        control=control,
        stopped_status=RunStatus.PAUSED,
        lease=Lease(renew_seconds=0.0),
    )
    run = submitted(history, CONFIG)
    with suppress(Interrupted):  # behind the commit, or once the next one is asked for
        driver.drive(driver.claim(run.id))
    left = history.find_run(run.id)
    status = RunStatus.CANCELLED if wish == "cancel" else RunStatus.PAUSED
    assert (left.status, left.completed_iterations) == (status, 2)


def test_what_cannot_be_sent_is_left_to_compute() -> None:
    config = settings()
    data = load(config).training
    dispatcher = CeleryDispatcher(NOWHERE)
    dispatcher.begin("run", config.spec, None, allow_mixed=False)
    dispatcher.start(Work.training(config, "run", 1, data, 0, b"parameters"), Onlooker())
    assert dispatcher.gathering is not None
    assert dispatcher.gathering.attempts == 0
