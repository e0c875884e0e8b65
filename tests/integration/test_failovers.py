"""A database that has forgotten its newest commits, and what else must not end a scheduler."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, delete, text, update
from sqlalchemy.pool import QueuePool

from tapeworks.cli.commands.scheduler import take_runs
from tapeworks.cluster.watching.progress import Progress
from tapeworks.errors import ExitCode, exit_code
from tapeworks.model.config import RunConfig
from tapeworks.scheduler.driving.service import serve
from tapeworks.scheduler.errors import ServiceFailed
from tapeworks.storage.connection.database import Database
from tapeworks.storage.connection.outages import translate_errors
from tapeworks.storage.errors import HistoryRolledBack, StorageRefused, StorageUnreachable
from tapeworks.storage.history import History
from tapeworks.storage.records import IterationRecord, RunStatus
from tapeworks.storage.tables import checkpoints, iterations, runs
from tests.support.calls import TRAIN_FIRST, Call
from tests.support.commits import Moment
from tests.support.listeners import drain_after
from tests.support.scenes import CONFIG, Fault, Observed, Scene, is_whole
from tests.support.training import Digests, submitted

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_by_one")]

Undisturbed = Callable[[RunConfig], Digests]

#: The writing transaction that commits the last iteration: after the submission, the claim, the
#: images and the other iterations.
LAST_ITERATION = 3 + CONFIG.iterations


def forget_newest(database: Database) -> None:
    """Bring the only run's history to where it stood an iteration earlier, as a failover does."""
    with database.write() as connection:
        done = connection.scalar(text("SELECT completed_iterations FROM stored_runs")) or 0
        connection.execute(delete(iterations).where(iterations.c.iteration == done - 1))
        connection.execute(delete(checkpoints).where(checkpoints.c.completed_iterations == done))
        connection.execute(update(runs).values(completed_iterations=done - 1))


def test_a_service_goes_on_from_what_a_database_remembers_after_a_failover(
    either_history: History, undisturbed: Undisturbed
) -> None:
    submitted(either_history, CONFIG)
    scene, committed = Scene(either_history), list[int]()

    def forget_once(number: int) -> None:
        committed.append(number)
        if len(committed) == 3:
            forget_newest(either_history.database)

    scene.on_iteration, scene.listener = forget_once, drain_after(scene.control)
    serve(scene.driver())
    [run] = either_history.runs()
    is_whole(either_history, run, undisturbed(CONFIG))
    assert scene.notices == ["lease_lost"]
    assert scene.events(run) == ["submitted", "claimed", "queued", "claimed", "completed"]
    assert "lost its newest commits" in either_history.events(run.id)[2].message


def test_a_run_whose_last_commit_is_forgotten_is_not_completed_without_it(
    observed: Observed, tmp_path: Path
) -> None:
    def forget() -> None:
        forget_newest(Database(tmp_path / "runs.db"))

    def observe(moment: Moment) -> None:
        fault(moment)

    fault = Fault("after_commit", LAST_ITERATION + 1, forget)  # the evaluation
    scene = Scene(observed(tmp_path / "runs.db", observe))
    with pytest.raises(HistoryRolledBack, match="stands after 4 of 5 iterations"):
        scene.play()
    [run] = scene.history.runs()
    assert (run.status, run.completed_iterations) == (RunStatus.QUEUED, 4)


def test_as_many_drivers_as_there_may_be_use_one_file_at_once(
    tmp_path: Path,
) -> None:
    history = History.open(tmp_path / "runs.db")
    all_in, errors = threading.Barrier(64), list[Exception]()

    def read() -> None:
        with history.database.read():
            all_in.wait(60)

    def look() -> None:
        try:
            read()
        except Exception as error:  # noqa: BLE001 - any kind is told
            errors.append(error)

    threads = [threading.Thread(target=look) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history.database.close()
    assert errors == []


def test_a_pool_that_has_no_connection_left_is_an_outage() -> None:
    engine = create_engine(
        "sqlite://", poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.01
    )
    with (
        engine.connect(),
        pytest.raises(StorageUnreachable, match="QueuePool limit"),
        translate_errors("runs.db"),
    ):
        engine.connect()
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://nobody@{}/postgres", 'role "nobody" does not exist'),
        ("postgresql://tapeworks@{}/nothing", 'database "nothing" does not exist'),
        ("postgresql://tapeworks@{}/postgres?sslmode=on", r'"on"\. Correct that in the URL'),
        ("postgresql://tapeworks@{}0000/postgres", "invalid port.*Correct that in the URL"),
        ("postgresql:///?service=none", r"not found\. Name one of those in pg_service.conf"),
    ],
)
def test_a_mistake_in_the_address_is_no_outage(postgres_url: str, url: str, words: str) -> None:
    place = postgres_url.partition("@")[2].partition("/")[0]
    with pytest.raises(StorageRefused, match=words):
        Database(url.format(place)).ensure_schema()


def test_a_scheduler_that_cannot_go_on_ends_with_a_code_at_which_it_is_started_again(
    postgres_url: str,
) -> None:
    history = History.open(_upgraded(postgres_url))
    with history.database.write() as connection:
        connection.execute(text("DROP TABLE stored_runs CASCADE"))
    with pytest.raises(ServiceFailed, match="stored_runs") as failed:
        take_runs([Scene(history).driver()])
    history.database.close()
    assert exit_code(failed.value) is ExitCode.RUN_FAILED


def _upgraded(url: str) -> str:
    database = Database(url)
    database.upgrade()
    database.close()
    return url


def test_a_training_on_one_machine_goes_on_after_a_failover_too(
    call: Call, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show, done = Progress.show, list[int]()

    def forget_once(progress: Progress, record: IterationRecord) -> None:
        show(progress, record)
        done.append(record.iteration)
        if done == [0, 1, 2]:
            forget_newest(Database(places / "runs.db"))

    monkeypatch.setattr(Progress, "show", forget_once)
    called = call(TRAIN_FIRST)
    assert called.code == 0, called.err
    assert "lost its newest commits" in called.err
    assert done == [0, 1, 2, 2, 3, 4]
    assert (called.values["status"], len(called.values["losses"])) == ("completed", 5)
