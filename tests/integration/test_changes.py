"""Databases that are only read, and proof that one has not changed, on both kinds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tapeworks.storage.connection.changes import Changes
from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import DatabaseReadOnly, StorageUnreachable
from tapeworks.storage.history import History
from tapeworks.storage.queries.search import find_runs
from tests.support.made_up import LEASE, commit, submit


@pytest.fixture
def changes(either_history: History) -> Iterator[Changes]:
    watching = Changes(either_history.database)
    yield watching
    watching.close()


def test_a_version_stays_until_something_is_committed(
    either_history: History, changes: Changes
) -> None:
    run = submit(either_history)
    seen = [changes.version()]
    find_runs(either_history.database)
    assert changes.version() == seen[0]
    for change in (
        lambda: either_history.queue.pause(run.id),
        lambda: either_history.queue.resume(run.id),
        lambda: commit(either_history, either_history.claim(run.id, "alice", LEASE), 0),
        lambda: submit(either_history),
    ):
        change()
        version = changes.version()
        assert version not in seen
        assert changes.version() == version
        seen.append(version)


def test_a_change_by_another_process_is_seen(
    either_history: History, changes: Changes, database_url: str
) -> None:
    run = submit(either_history)
    before = changes.version()
    with closing(Database(database_url)) as other:
        History(other).queue.cancel(run.id)
        assert changes.version() != before


def test_a_transaction_in_progress_is_seen_once_it_ends(
    either_history: History, changes: Changes, database_url: str
) -> None:
    with closing(Database(database_url)) as other:
        with other.write() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = version_num")
            during = changes.version()
            assert changes.version() == during
        assert changes.version() != during


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    with closing(Database(tmp_path / "runs.db")) as database:
        database.upgrade()
        changes = Changes(database)
        changes.version()
        (tmp_path / "runs.db").rename(tmp_path / "elsewhere.db")
        with pytest.raises(StorageUnreachable, match="Put the file back"):
            changes.version()
        (tmp_path / "elsewhere.db").rename(tmp_path / "runs.db")
        assert changes.version()
        changes.close()


def test_nothing_is_written_through_a_database_that_only_reads(
    either_history: History, database_url: str
) -> None:
    run = submit(either_history)
    with closing(Database(database_url, read_only=True)) as database:
        reader = History(database)
        database.ensure_schema()
        assert reader.find_run(run.id) == run
        assert find_runs(database, where="status = 'queued'", columns=["id"]).rows == ((run.id,),)
        with pytest.raises(DatabaseReadOnly):
            reader.queue.pause(run.id)
        with pytest.raises(DatabaseReadOnly), database.read() as connection:
            connection.exec_driver_sql("DELETE FROM stored_runs")
    assert either_history.find_run(run.id) == run


def test_a_database_that_only_reads_does_not_make_a_file(tmp_path: Path) -> None:
    with (
        closing(Database(tmp_path / "new" / "runs.db", read_only=True)) as database,
        pytest.raises(StorageUnreachable),
    ):
        database.ensure_schema()
    assert not (tmp_path / "new").exists()


def test_versions_of_two_that_watch_are_never_equal(tmp_path: Path) -> None:
    with closing(Database(tmp_path / "runs.db")) as database:
        database.upgrade()
        versions = []
        for _ in range(2):  # as a web page that is started again
            changes = Changes(database)
            versions.append(changes.version())
            changes.close()
            submit(History(database))
        assert versions[0] != versions[1]
