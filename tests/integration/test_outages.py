"""A run waits through outages of its database: never an iteration twice, none skipped."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError

from tapeworks.model.config import RunConfig
from tapeworks.scheduler.driving.keeper import Lease
from tapeworks.scheduler.driving.service import serve
from tapeworks.scheduler.errors import Unreleased
from tapeworks.storage.connection import engines as engines_module
from tapeworks.storage.connection.outages import translate_errors
from tapeworks.storage.errors import StorageRefused, StorageUnreachable
from tapeworks.storage.history import History
from tapeworks.storage.records import RunStatus
from tests.support.commits import Moment
from tests.support.listeners import drain_after
from tests.support.postgres import PostgresServer
from tests.support.scenes import CONFIG, OUTAGE, Fault, Observed, Scene, is_whole, lose
from tests.support.training import Digests, submitted
from tests.support.waiting import DEADLINE_SECONDS

Undisturbed = Callable[[RunConfig], Digests]

#: Writing transactions of an undisturbed run, without renewals: the submission, the claim, the
#: images, the iterations, the evaluation, the end.
TRANSACTIONS = 5 + CONFIG.iterations


#: The tests count transactions, or act after the iteration of a number.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_by_one")]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an SQLite that is locked fail soon."""
    monkeypatch.setattr(engines_module, "BUSY_TIMEOUT_MS", 20)


@pytest.fixture
def expected(undisturbed: Undisturbed) -> Digests:
    return undisturbed(CONFIG)


class AnotherProgram:
    """A program that holds the write lock of an SQLite file."""

    def __init__(self, path: Path) -> None:
        script = (
            "import sqlite3, sys; connection = sqlite3.connect(sys.argv[1])\n"
            "connection.execute('BEGIN IMMEDIATE'); print('locked', flush=True)\n"
            "sys.stdin.read(); connection.rollback()\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"locked\n"

    def let_go(self) -> None:
        self.process.communicate(timeout=DEADLINE_SECONDS)


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[Callable[[], AnotherProgram]]:
    """Starts another program that locks the test's SQLite file; ended with the test."""
    programs: list[AnotherProgram] = []

    def start() -> AnotherProgram:
        programs.append(AnotherProgram(tmp_path / "runs.db"))
        return programs[-1]

    yield start
    for program in programs:
        program.process.kill()
        program.process.communicate()


Lock = Callable[[], AnotherProgram]


def test_another_program_locks_the_database_and_lets_go(
    history: History, lock: Lock, expected: Digests
) -> None:
    scene, holders = Scene(history), list[AnotherProgram]()

    def lock_once(number: int) -> None:
        if number == 2:
            holders.append(lock())

    scene.on_iteration, scene.on_outage = lock_once, lambda: holders[0].let_go()
    run = scene.play()
    is_whole(history, run, expected)
    assert scene.notices == OUTAGE
    assert scene.events(run) == ["submitted", "claimed", *OUTAGE, "completed"]


@pytest.fixture
def pages(history: History) -> list[int]:
    """Return a list for the most pages that the SQLite file may have; none of them is unused."""
    history.database.shrink()
    limit: list[int] = []

    def restrict(connection: Connection) -> None:
        most = limit[0] if limit else 1_000_000_000
        connection.exec_driver_sql(f"PRAGMA max_page_count={most}")

    event.listen(history.database._engine, "begin", restrict)
    return limit


def test_the_database_is_full_and_gets_room(
    history: History, pages: list[int], expected: Digests
) -> None:
    scene = Scene(history, on_outage=pages.clear)
    scene.on_iteration = lambda number: pages.append(1) if number == 1 else None
    run = scene.play()
    is_whole(history, run, expected)
    assert scene.notices == OUTAGE
    assert "database or disk is full. Make room" in history.events(run.id)[2].message


@pytest.fixture
def file_limit() -> Iterator[Callable[[int | None], None]]:
    """Sets how large the files of this process may grow, in bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(largest: int | None) -> None:
        soft = before[0] if largest is None else largest
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, before[1]))

    yield limit
    limit(None)


def test_the_disk_takes_no_more_and_then_does(
    history: History, tmp_path: Path, file_limit: Callable[[int | None], None], expected: Digests
) -> None:
    def limit(number: int) -> None:
        if number == 1:
            file_limit((tmp_path / "runs.db-wal").stat().st_size)

    scene = Scene(history, on_iteration=limit, on_outage=lambda: file_limit(None))
    run = scene.play()
    is_whole(history, run, expected)
    assert scene.notices == OUTAGE
    assert scene.events(run) == ["submitted", "claimed", *OUTAGE, "completed"]


@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
def test_whichever_commit_fails_or_loses_its_answer_nothing_is_doubled_or_skipped(
    observed: Observed, database_url: str, moment: Moment, expected: Digests
) -> None:
    for number in range(2, TRANSACTIONS + 1):  # the first is the user's, who would see it fail
        fault = Fault(moment, number, lose)
        history = observed(database_url, fault)
        scene = Scene(history)
        run = scene.play()
        is_whole(history, run, expected)
        assert (run.term, scene.notices) == (1, OUTAGE)
        told = [kind for kind in scene.events(run) if kind not in OUTAGE]
        assert told == ["submitted", "claimed", "completed"]
        assert fault.seen > TRANSACTIONS


def test_the_story_of_an_outage_is_told_once_though_its_answer_is_lost_too(
    observed: Observed, tmp_path: Path, expected: Digests
) -> None:
    lost = [Fault("after_commit", 5, lose), Fault("after_commit", 7, lose)]

    def observe(moment: Moment) -> None:
        for fault in lost:
            fault(moment)

    scene = Scene(observed(tmp_path / "runs.db", observe))
    run = scene.play()
    is_whole(scene.history, run, expected)
    assert scene.notices == OUTAGE
    assert scene.events(run) == ["submitted", "claimed", *OUTAGE, "completed"]


@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
def test_a_claim_from_the_queue_whose_answer_was_lost_is_found_again(
    observed: Observed, database_url: str, moment: Moment
) -> None:
    history = observed(database_url, Fault(moment, 3, lose))
    wanted = [submitted(history, CONFIG).id for _ in range(2)]
    driver = Scene(history).driver()
    claims = [driver.claim_next() for _ in range(3)]
    assert [(claim.run_id, claim.term) for claim in claims if claim] == [(id_, 1) for id_ in wanted]


@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
@pytest.mark.parametrize("number", [3, 6, 9])
def test_postgresql_is_killed_with_all_its_processes_and_started_again(
    observed: Observed,
    postgres: PostgresServer,
    postgres_url: str,
    moment: Moment,
    number: int,
    expected: Digests,
) -> None:
    history = observed(postgres_url, Fault(moment, number, postgres.kill))
    scene = Scene(history, on_outage=postgres.launch, lease=Lease(renew_seconds=0.0))
    run = scene.play()
    is_whole(history, run, expected)
    assert scene.notices == OUTAGE
    assert scene.events(run) == ["submitted", "claimed", *OUTAGE, "completed"]


def test_an_interrupt_ends_the_waiting_and_the_run_can_be_taken_over(
    history: History, lock: Lock, expected: Digests
) -> None:
    scene = Scene(history, lease=Lease(seconds=0.0))
    holders = list[AnotherProgram]()

    def lock_once(number: int) -> None:
        if number == 1:
            holders.append(lock())

    scene.on_iteration, scene.on_outage = lock_once, scene.control.interrupt
    with pytest.raises(Unreleased, match="still counts as running") as stopped:
        scene.play()
    assert scene.notices == OUTAGE[:1]
    holders[0].let_go()
    [left] = history.runs()
    assert left.id in str(stopped.value)
    assert (left.status, left.completed_iterations) == (RunStatus.RUNNING, 2)
    driver = Scene(history).driver()
    claim = driver.claim_next()
    assert claim is not None
    assert (claim.run_id, claim.term) == (left.id, 2)
    driver.drive(claim)
    is_whole(history, history.find_run(left.id), expected)


def test_a_service_waits_for_its_database_before_it_takes_a_run(
    history: History, lock: Lock, expected: Digests
) -> None:
    run, holder = submitted(history, CONFIG), lock()
    scene = Scene(history, on_outage=lambda: holder.let_go())
    scene.listener = drain_after(scene.control)
    serve(scene.driver())
    is_whole(history, history.find_run(run.id), expected)
    assert scene.notices == OUTAGE


def test_a_service_that_is_interrupted_while_it_waits_ends(history: History, lock: Lock) -> None:
    run = submitted(history, CONFIG)
    lock()
    scene = Scene(history)
    scene.on_outage = scene.control.drain
    serve(scene.driver())
    assert history.find_run(run.id).term == 0
    assert scene.notices == OUTAGE[:1]


@pytest.mark.parametrize(("free", "remedy"), [(0, "Its disk is full"), (10**12, "Check the file")])
def test_a_full_disk_is_named_whatever_sqlite_says_of_it(
    free: int, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    failed = OperationalError("SELECT 1", {}, sqlite3.OperationalError("disk I/O error"))
    with (
        pytest.raises(StorageUnreachable, match=remedy) as told,
        translate_errors(f"sqlite:///{tmp_path}/runs.db"),
    ):
        raise failed
    assert "server" not in str(told.value)


@pytest.mark.parametrize("kind", ["database", "role"])
def test_a_database_that_is_not_on_the_server_is_to_be_named_or_created(kind: str) -> None:
    words = f'connection failed: FATAL:  {kind} "x" does not exist'
    failed = OperationalError("SELECT 1", {}, psycopg.OperationalError(words))
    with (
        pytest.raises(StorageRefused, match=f"no such {kind} on that server: .* create it, see"),
        translate_errors("postgresql://ada@host/x"),
    ):
        raise failed


def test_a_missing_password_has_the_advice_of_a_wrong_one() -> None:
    words = ("fe_sendauth: no password supplied", 'password authentication failed for user "ada"')
    for told in words:
        failed = OperationalError("SELECT 1", {}, psycopg.OperationalError(told))
        with (
            pytest.raises(StorageRefused, match="TAPEWORKS_DATABASE_PASSWORD_FILE"),
            translate_errors("postgresql+psycopg://ada@host/tapeworks"),
        ):
            raise failed
