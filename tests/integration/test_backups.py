"""A backup is of one moment, and a run goes on from it to the same bits."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from model.config import RunConfig
from scheduler.driving import Driver
from scheduler.local_dispatcher import LocalDispatcher
from storage.database import Database
from storage.errors import StateConflict
from storage.history import History
from storage.records import IterationRecord, RunStatus
from tests.support.calls import Call
from tests.support.made_up import commit, submit, submit_and_claim
from tests.support.postgres import VARIABLE, new_database, programs
from tests.support.training import Digests, drive, settings, submitted
from tests.support.waiting import until


def test_a_run_goes_on_from_a_backup_that_was_made_in_its_middle(
    history: History,
    call: Call,
    places: Path,
    undisturbed: Callable[[RunConfig], Digests],
) -> None:
    # Given a run that is backed up between two of its iterations, while it is driven.
    run = submitted(history, settings(checkpoint_every=10))
    claim = history.claim(run.id, "a scheduler of another machine", lease_seconds=0.5)
    for record in Driver(history=history, dispatcher=LocalDispatcher()).drive(claim):
        if isinstance(record, IterationRecord) and record.iteration == 2:
            backup = call("db backup backup.db")
    assert (backup.code, backup.out) == (0, f"{places / 'backup.db'}\n")

    # When another scheduler goes on with the backup in the database's place.
    restored = History.open(places / "backup.db")
    assert restored.find_run(run.id).completed_iterations == 3

    def claimable() -> bool:
        try:
            restored.release(restored.claim(run.id, "probe", 60.0), RunStatus.QUEUED, None)
        except StateConflict:
            return False
        return True

    until(claimable, "the lease that the backup holds is over")
    resumed = drive(restored, LocalDispatcher(), run)
    restored.database.close()

    # Then it ends with the bits of a run that nobody disturbed.
    assert resumed.digests == undisturbed(settings())


def test_postgresql_s_own_backup_holds_the_whole_history(
    postgres_url: str, call: Call, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(postgres_url)
    database.upgrade()
    history = History(database)
    claim = submit_and_claim(history)
    for number in range(3):
        commit(history, claim, number)
    iterations = history.iterations(claim.run_id)
    database.close()
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", postgres_url)
    refused = call("db backup backup.db")
    assert refused.code == 2
    assert "pg_dump" in refused.last_words
    assert not (places / "backup.db").exists()

    dump = [str(programs() / "pg_dump"), "--format=custom", "--file=history.dump", postgres_url]
    subprocess.run(dump, cwd=places, check=True)
    server = os.environ.get(VARIABLE) or postgres_url
    with new_database(server, f"tapeworks-{uuid.uuid4().hex}") as address:
        restore = [str(programs() / "pg_restore"), "--clean", "--if-exists"]
        for _ in ("a new database", "one with a history"):
            restore_it = [*restore, f"--dbname={address}", "history.dump"]
            subprocess.run(restore_it, cwd=places, check=True)
        restored = History.open(address)
        assert restored.iterations(claim.run_id) == iterations
        restored.database.close()


@pytest.mark.parametrize("place", ["missing/backup.db", "."])
def test_a_backup_that_cannot_be_written_is_told_in_one_sentence(
    place: str, call: Call, places: Path
) -> None:
    assert call("runs").code == 0
    before = sorted(places.rglob("*"))
    called = call(f"db backup {place}")
    assert called.code == 2
    assert len(called.err.splitlines()) == 1
    assert sorted(places.rglob("*")) == before


@pytest.mark.parametrize("place", ["runs.db", "runs.db-wal", "runs.db-shm", "link", "hard-link"])
@pytest.mark.parametrize("order", ["db backup", "export RUN --to csv --output"])
def test_nothing_is_written_over_the_database(
    order: str, place: str, call: Call, places: Path
) -> None:
    history = History.open(places / "runs.db")
    run = submit(history)
    history.database.close()
    (places / "link").symlink_to("runs.db")
    (places / "hard-link").hardlink_to("runs.db")
    before = (places / "runs.db").stat().st_ino
    called = call(f"{order.replace('RUN', run.id)} {place}")
    assert called.code == 2
    assert "is a file of the database" in called.last_words
    assert (places / "runs.db").stat().st_ino == before
    assert call("runs").code == 0
