"""A backup is of one moment, and a run goes on from it to the same bits."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tapeworks.cli.outputs.files import check_directory_writable
from tapeworks.errors import UsageError
from tapeworks.model.config import RunConfig
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.driving.driver import Driver
from tapeworks.scheduler.events import IterationCommitted
from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import StateConflict
from tapeworks.storage.history import History
from tapeworks.storage.records import RunStatus
from tests.support.calls import Call, Called
from tests.support.documents import shell_lines
from tests.support.listeners import on
from tests.support.made_up import commit, submit, submit_and_claim
from tests.support.postgres import VARIABLE, new_database, programs
from tests.support.processes import ROOT
from tests.support.training import Digests, drive, settings, submitted
from tests.support.waiting import until

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("one_by_one")
def test_a_run_goes_on_from_a_backup_that_was_made_in_its_middle(
    history: History,
    call: Call,
    places: Path,
    undisturbed: Callable[[RunConfig], Digests],
) -> None:
    # Given a run that is backed up between two of its iterations, while it is driven.
    run = submitted(history, settings(checkpoint_every=10))
    claim = history.claim(run.id, "a scheduler of another machine", lease_seconds=0.5)
    backups = list[Called]()

    def back_up(event: IterationCommitted) -> None:
        if event.record.iteration == 2:
            backups.append(call("db backup backup.db"))

    events = on(IterationCommitted, back_up)
    Driver(history=history, dispatcher=LocalDispatcher(), events=events).drive(claim)
    [backup] = backups
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

    documented(postgres_url, places, "pg_dump")
    server = os.environ.get(VARIABLE) or postgres_url
    with new_database(server, f"tapeworks-{uuid.uuid4().hex}") as address:
        documented(address, places, "psql", "pg_restore")
        restored = History.open(address)
        assert restored.iterations(claim.run_id) == iterations
        restored.database.close()


def documented(url: str, directory: Path, *names: str) -> None:
    """Run what docs/operations.md says of these programs, outside of Compose."""
    path = os.pathsep.join([str(programs()), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "TAPEWORKS_DATABASE_URL": url}
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for name in names:
        [line] = [line for line in shell_lines(text) if line.startswith(f"{name} ")]
        subprocess.run(["/bin/sh", "-c", line], cwd=directory, env=environment, check=True)


@pytest.mark.parametrize("place", ["missing/backup.db", "."])
def test_a_backup_that_cannot_be_written_is_told_in_one_sentence(
    place: str, call: Call, places: Path
) -> None:
    assert call("db upgrade").code == 0
    before = sorted(places.rglob("*"))
    called = call(f"db backup {place}")
    assert called.code == 2
    assert len(called.err.splitlines()) == 1
    assert sorted(places.rglob("*")) == before


def test_a_directory_that_has_the_database_is_not_replaced(call: Call, places: Path) -> None:
    assert call("db upgrade").code == 0
    (places / "saved_model.pb").touch()
    with pytest.raises(UsageError, match="has it within"):
        check_directory_writable(places, "saved_model.pb")


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
    assert "it is a file of the database" in called.last_words
    assert (places / "runs.db").stat().st_ino == before
    assert call("db upgrade").code == 0
