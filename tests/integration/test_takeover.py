"""Several schedulers on one database: each run has one owner at a time, whatever happens."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import select

from tapeworks.model import datasets
from tapeworks.model.config import RunConfig
from tapeworks.model.datasets import Split
from tapeworks.model.errors import DatasetError
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.driving.driver import Driver
from tapeworks.scheduler.driving.keeper import Lease
from tapeworks.scheduler.errors import Interrupted
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tapeworks.storage.records import Claim, RunStatus
from tapeworks.storage.tables import metadata
from tapeworks.wire.chunks import ChunkedImages, make_chunks
from tests.support.desk import SMALL
from tests.support.training import Digests, digests, settings, submitted
from tests.support.waiting import DEADLINE_SECONDS, until

pytestmark = pytest.mark.slow

Undisturbed = Callable[[RunConfig], Digests]

ROOT = Path(__file__).parents[2]

#: A small run.
CONFIG = settings(**SMALL | {"iterations": 6})

#: Runs that two schedulers share.
SHARED = 12

#: Seconds until a scheduler's run may be taken over: short, as a test waits for it.
LEASE_SECONDS = 1.0


class Scheduler:
    """A scheduler process; what it says is read line by line."""

    def __init__(self, url: str, *arguments: str) -> None:
        command = [sys.executable, "-m", "tests.support.local_scheduler", url, *arguments]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("begin\n")
        self.process.stdin.flush()

    def line(self) -> str:
        """The next line that it says; none when it is over."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def lines(self) -> list[str]:
        """Close the input of the process and return what else it prints until it ends."""
        return self.process.communicate()[0].splitlines()

    def is_frozen(self) -> bool:
        return psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        with suppress(ValueError):  # read to its end already
            self.process.communicate()


@pytest.fixture
def schedulers() -> Iterator[Callable[..., Scheduler]]:
    """Starts schedulers, which are ended with the test."""
    started: list[Scheduler] = []

    def start(url: str, *arguments: str) -> Scheduler:
        started.append(Scheduler(url, *arguments))
        return started[-1]

    yield start
    for scheduler in started:
        scheduler.kill()


@pytest.fixture
def history(database_url: str) -> Iterator[History]:
    """An empty history of each kind of database."""
    database = Database(database_url)
    database.upgrade()
    yield History(database)
    database.close()


def contents(history: History) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables."""
    with history.database.read() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
        }


def whole(history: History, run_id: str, expected: Digests) -> None:
    """The run is completed, with an undisturbed one's bits and each iteration once."""
    assert history.find_run(run_id).status is RunStatus.COMPLETED
    assert digests(history, run_id) == expected
    numbers = list(range(CONFIG.iterations))
    assert [record.iteration for record in history.iterations(run_id)] == numbers
    assert [entry.iteration for entry in history.ledger(run_id)] == numbers


Schedulers = Callable[..., Scheduler]


def test_two_schedulers_share_the_queue_and_no_run_has_two_owners(
    history: History, database_url: str, schedulers: Schedulers, undisturbed: Undisturbed
) -> None:
    runs = [submitted(history, CONFIG).id for _ in range(SHARED)]
    pair = [schedulers(database_url, "10") for _ in range(2)]
    for one in pair:
        assert one.line() == "ready"
    for one in pair:
        one.begin()
    statuses = {RunStatus.COMPLETED}
    until(lambda: {run.status for run in history.runs()} == statuses, "all runs are completed")
    said = [one.lines() for one in pair]
    assert all(said), "one scheduler did everything"
    assert Counter(line for lines in said for line in lines) == Counter(
        f"left {run_id} completed" for run_id in runs
    )
    for run_id in runs:
        whole(history, run_id, undisturbed(CONFIG))
        assert history.find_run(run_id).term == 1
        kinds = [event.kind for event in history.events(run_id)]
        assert kinds == ["submitted", "claimed", "completed"]


def taken_over(history: History) -> Claim:
    """A claim on the run that another scheduler holds, as soon as its lease allows."""
    claim = until(lambda: history.claim_next("another:boot:1:2", 60.0), "the run is taken over")
    assert claim is not None
    return claim


def drive_on(history: History, claim: Claim) -> None:
    Driver(history=history, dispatcher=LocalDispatcher()).drive(claim)


def gives_up_when_thawed(frozen: Scheduler, history: History, expected: Digests) -> None:
    """Take the run over from a scheduler that freezes, then thaw that; it must write nothing."""
    run = submitted(history, CONFIG)
    assert frozen.line() == "ready"
    frozen.begin()
    until(frozen.is_frozen, "the scheduler is frozen")
    claim = taken_over(history)
    before = contents(history)
    frozen.thaw()
    until(lambda: "must stop" in frozen.line(), "the thawed scheduler gives up")
    assert contents(history) == before
    assert frozen.lines() == []
    drive_on(history, claim)
    whole(history, run.id, expected)
    assert {record.term for record in history.iterations(run.id)} == {1, 2}


def test_a_scheduler_that_froze_finds_its_run_taken_over_and_writes_nothing(
    history: History, database_url: str, schedulers: Schedulers, undisturbed: Undisturbed
) -> None:
    frozen = schedulers(database_url, str(LEASE_SECONDS), "iteration:3")
    gives_up_when_thawed(frozen, history, undisturbed(CONFIG))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_scheduler_that_froze_within_a_transaction_is_taken_over_as_well(
    history: History, database_url: str, schedulers: Schedulers, undisturbed: Undisturbed
) -> None:
    soon = "?options=-c%20idle_in_transaction_session_timeout%3D500"
    frozen = schedulers(database_url + soon, str(LEASE_SECONDS), "commit:6")
    gives_up_when_thawed(frozen, history, undisturbed(CONFIG))


def test_a_killed_schedulers_run_is_taken_over_to_the_same_bits(
    history: History, database_url: str, schedulers: Schedulers, undisturbed: Undisturbed
) -> None:
    run = submitted(history, CONFIG)
    killed = schedulers(database_url, "600", "iteration:3")
    assert killed.line() == "ready"
    killed.begin()
    until(killed.is_frozen, "the scheduler is in the middle of its run")
    killed.kill()
    claim = taken_over(history)  # at once: the owner is provably dead
    drive_on(history, claim)
    whole(history, run.id, undisturbed(CONFIG))


def test_what_a_killed_scheduler_had_computed_and_not_committed_is_computed_again(
    history: History,
    database_url: str,
    schedulers: Schedulers,
    undisturbed: Undisturbed,
) -> None:
    run = submitted(history, CONFIG)
    killed = schedulers(database_url, "600", "computed:4", "inf")
    assert killed.line() == "ready"
    killed.begin()
    until(killed.is_frozen, "four iterations are computed")
    killed.kill()
    # Four iterations were computed: the first is committed at once, the others waited.
    assert history.find_run(run.id).completed_iterations == 1
    drive_on(history, taken_over(history))
    whole(history, run.id, undisturbed(CONFIG))
    assert [record.term for record in history.iterations(run.id)] == [1, 2, 2, 2, 2, 2]


def loading(history: History, load: Callable[[RunConfig], Split]) -> Driver:
    """A driver that reads its data set so, and renews its lease whenever it can."""
    return Driver(
        history=history,
        dispatcher=LocalDispatcher(),
        load=load,
        lease=Lease(seconds=600.0, renew_seconds=0.0),
    )


def test_the_lease_is_kept_while_the_data_set_is_read(
    history: History, undisturbed: Undisturbed
) -> None:
    run = submitted(history, CONFIG)

    def slowly(config: RunConfig) -> Split:
        first = history.find_run(run.id).lease_until
        until(lambda: history.find_run(run.id).lease_until != first, "the lease is renewed")
        return datasets.load(config)

    driver = loading(history, slowly)
    driver.drive(driver.claim(run.id))
    whole(history, run.id, undisturbed(CONFIG))


def test_the_lease_is_kept_while_the_images_are_hashed(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gigabyte takes seconds; it is hashed for the history, and cut again for the workers."""
    run = submitted(history, CONFIG)

    def slowly(*arrays: Any) -> ChunkedImages:
        first = history.find_run(run.id).lease_until
        until(lambda: history.find_run(run.id).lease_until != first, "the lease is renewed")
        return make_chunks(*arrays)

    monkeypatch.setattr("tapeworks.scheduler.driving.driver.make_chunks", slowly)
    driver = loading(history, datasets.load)
    driver.drive(driver.claim(run.id))
    assert history.find_run(run.id).status is RunStatus.COMPLETED


def test_an_interrupt_does_not_wait_for_the_data_set(history: History) -> None:
    run, never = submitted(history, CONFIG), threading.Event()

    def endlessly(config: RunConfig) -> Split:
        driver.control.drain()
        never.wait(DEADLINE_SECONDS)
        return datasets.load(config)

    driver = loading(history, endlessly)
    with pytest.raises(Interrupted):
        driver.drive(driver.claim(run.id))
    assert history.find_run(run.id).status is RunStatus.QUEUED
    assert not never.is_set()
    never.set()


def test_a_data_set_that_cannot_be_read_pauses_the_run(history: History) -> None:
    run = submitted(history, CONFIG)

    def missing(_: RunConfig) -> Split:
        raise DatasetError("There is no such data set.")

    driver = loading(history, missing)
    with pytest.raises(DatasetError, match="no such data set"):
        driver.drive(driver.claim(run.id))
    left = history.find_run(run.id)
    assert (left.status, left.reason) == (RunStatus.PAUSED, "There is no such data set.")
