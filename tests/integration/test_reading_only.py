"""Histories that may only be read: somebody else's file, a role without rights, a standby."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import psycopg
import pytest

from tapeworks.storage.connection.database import Database
from tapeworks.storage.connection.sqlite_access import Access, access_to
from tapeworks.storage.errors import DatabaseReadOnly, RightMissing, StorageUnreachable
from tapeworks.storage.history import History
from tapeworks.storage.queries.search import find_runs, query
from tapeworks.storage.records import RunStatus
from tests.support.calls import Call
from tests.support.desk import DONE, WAITING, two_runs_in
from tests.support.redis_servers import redis_with
from tests.support.somebody_else import foreign_directory, without_rights

pytestmark = pytest.mark.slow

READERS = [
    "runs",
    "runs --json",
    "query 'SELECT id, status FROM runs ORDER BY id'",
    f"show {DONE}",
    f"show {DONE} --events",
    f"show {DONE} --ledger --json",
    f"export {DONE}",
    f"export {DONE} --to json",
    f"plot {DONE} --json",
    f"compare {DONE} {WAITING} --json",
    "db check",
    "db size",
]


#: What the doctor says of a history that cannot be written.
ONLY_READ = "ms, and may only be read by this user. That serves runs, query, show,"


@pytest.fixture(scope="module")
def trained() -> Iterator[Path]:
    """A directory of somebody else with a history of two runs, which nobody uses now."""
    with foreign_directory() as directory:
        two_runs_in(directory)
        yield directory


@pytest.fixture
def foreign(trained: Path) -> Iterator[Path]:
    """A copy of it."""
    with foreign_directory() as directory:
        shutil.copy(trained / "runs.db", directory)
        yield directory


def names(directory: Path) -> list[str]:
    """The files that lie there."""
    return sorted(path.name for path in directory.iterdir())


def abandon_a_run(database: Database) -> str:
    """A run whose owner's lease is over."""
    history = History(database)
    run = history.create_run(
        name="left", configuration={}, iterations=1, parameters=b"", parameters_digest=""
    )
    history.claim(run.id, "elsewhere:boot:1:1", -1.0)
    return run.id


@pytest.mark.parametrize("line", READERS)
def test_a_file_of_somebody_else_is_read(
    line: str, trained: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", str(trained / "runs.db"))
    owners = call(line)
    assert owners.code == 0, owners
    before = names(trained)
    with without_rights(trained):
        assert call(line) == owners
    assert names(trained) == before == ["runs.db"]


@contextmanager
def older(path: Path) -> Iterator[None]:
    """The file says that it needs an upgrade, as long as this lasts."""
    current = stamp(path, "0000")
    try:
        yield
    finally:
        stamp(path, current)


def stamp(path: Path, revision: str) -> str:
    """Let the file be of this revision; return the one before."""
    with closing(sqlite3.connect(path)) as connection, connection:
        [[before]] = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    return str(before)


@pytest.mark.parametrize(
    "line", ["submit", f"cancel {WAITING}", f"delete {DONE} --yes", "db upgrade"]
)
def test_what_would_write_is_refused_with_the_remedy(
    line: str, trained: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", str(trained / "runs.db"))
    call("runs")
    call("db check")
    is_upgrade = line == "db upgrade"  # of a current file there is nothing to upgrade
    with older(trained / "runs.db") if is_upgrade else nullcontext(), without_rights(trained):
        called = call(line)
    assert (called.code, called.out) == (4, "")
    assert "Make the file and its directory writable, or name another file" in called.err


def test_a_file_in_a_directory_of_ours_gets_nothing_beside_it(foreign: Path) -> None:
    with without_rights(foreign):
        assert access_to(foreign / "runs.db") is Access.FROZEN
    (foreign / "runs.db").chmod(0o444)
    with closing(Database(foreign / "runs.db")) as database:
        database.ensure_schema()
    assert names(foreign) == ["runs.db"]


def test_a_run_that_is_abandoned_is_shown_as_it_stands(foreign: Path) -> None:
    with closing(Database(foreign / "runs.db")) as database:
        left = abandon_a_run(database)
    with without_rights(foreign), closing(Database(foreign / "runs.db")) as database:
        assert History(database).release_abandoned() == []
        assert History(database).find_run(left).status is RunStatus.RUNNING
        with pytest.raises(DatabaseReadOnly):
            History(database).queue.cancel(left, None)


def test_a_file_is_read_while_its_owner_writes(foreign: Path) -> None:
    with closing(Database(foreign / "runs.db")) as owners:
        left = abandon_a_run(owners)  # in the log only, for the owner stays connected
        assert (foreign / "runs.db-wal").stat().st_size
        with without_rights(foreign), closing(Database(foreign / "runs.db")) as database:
            assert access_to(foreign / "runs.db") is Access.READ
            assert History(database).find_run(left).name == "left"
            assert len(find_runs(database).rows) == 3


def test_a_file_whose_owner_crashed_is_read_with_its_log(foreign: Path) -> None:
    with closing(Database(foreign / "runs.db")) as owners:
        left = abandon_a_run(owners)
        with foreign_directory() as crashed:
            for name in names(foreign):
                shutil.copy(foreign / name, crashed)
            with without_rights(crashed), closing(Database(crashed / "runs.db")) as database:
                assert History(database).find_run(left).name == "left"
            assert names(crashed) == ["runs.db", "runs.db-shm", "runs.db-wal"]


def test_a_log_that_cannot_be_read_is_told_and_nothing_old_is_shown(foreign: Path) -> None:
    with closing(Database(foreign / "runs.db")) as owners:
        abandon_a_run(owners)
        with foreign_directory() as copy:
            shutil.copy(foreign / "runs.db", copy)
            shutil.copy(foreign / "runs.db-wal", copy)
            with (
                without_rights(copy),
                closing(Database(copy / "runs.db")) as database,
                pytest.raises(StorageUnreachable, match=r"runs\.db-wal beside it holds"),
            ):
                database.ensure_schema()


def test_a_file_without_a_log_of_its_own_is_read(foreign: Path) -> None:
    with closing(sqlite3.connect(foreign / "runs.db")) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    with without_rights(foreign), closing(Database(foreign / "runs.db")) as database:
        assert access_to(foreign / "runs.db") is Access.READ
        assert len(find_runs(database).rows) == 2


def test_a_file_that_is_changed_while_it_is_read_is_told_and_read_again(foreign: Path) -> None:
    file = foreign / "runs.db"
    with without_rights(foreign):
        database = Database(file)
        assert len(find_runs(database).rows) == 2
        database.revision()
    with pytest.raises(StorageUnreachable, match="changed while it was read"), database.read():
        change(file)
    with without_rights(foreign):
        assert len(find_runs(database).rows) == 3
    database.close()


def change(file: Path) -> None:
    """Write to it as its owner, who then goes."""
    with closing(Database(file)) as owners:
        abandon_a_run(owners)


@pytest.fixture
def readers_url(postgres_url: str) -> Iterator[str]:
    """The address of a role that may do nothing but SELECT."""
    with closing(Database(postgres_url)) as database:
        database.upgrade()
        abandon_a_run(database)
    role = "reader_" + postgres_url.rpartition("-")[2]
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN")
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        yield f"postgresql://{role}@{postgres_url.partition('@')[2]}"
        connection.execute(f"DROP OWNED BY {role}")
        connection.execute(f"DROP ROLE {role}")


@pytest.fixture
def standbys_url(postgres_url: str) -> str:
    """The address of a database on which every transaction is one that only reads."""
    with closing(Database(postgres_url)) as database:
        database.upgrade()
        abandon_a_run(database)
    return f"{postgres_url}?options=-c%20default_transaction_read_only%3Don"


@pytest.mark.parametrize("address", ["readers_url", "standbys_url"], ids=["role", "standby"])
def test_the_doctor_tells_in_one_line_that_a_server_is_only_read(
    address: str,
    call: Call,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", request.getfixturevalue(address))
    assert ONLY_READ in told_of_the_database(call)


def test_the_doctor_tells_in_one_line_that_a_file_is_only_read(
    trained: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", str(trained / "runs.db"))
    assert ONLY_READ not in told_of_the_database(call)
    with without_rights(trained):
        assert ONLY_READ in told_of_the_database(call)


def told_of_the_database(call: Call) -> str:
    """Return what the doctor reports on the database, with which it finds no problem."""
    lines = call("doctor").out.splitlines()
    assert not [line for line in lines if line.startswith("problem  database")]
    [told] = [line for line in lines if "revision" in line]
    return told


def test_a_scheduler_does_not_wait_for_a_file_that_may_only_be_read(
    trained: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", str(trained / "runs.db"))
    with redis_with() as url, without_rights(trained):
        monkeypatch.setenv("TAPEWORKS_REDIS_URL", url)
        called = call("scheduler")
    assert called.code == 4
    assert "Make the file and its directory writable" in called.err


@pytest.mark.parametrize(
    ("address", "refusal"), [("readers_url", RightMissing), ("standbys_url", DatabaseReadOnly)]
)
def test_who_may_only_select_reads_the_history(
    address: str, refusal: type[Exception], request: pytest.FixtureRequest
) -> None:
    with closing(Database(request.getfixturevalue(address))) as database:
        database.ensure_schema()
        history = History(database)
        assert history.release_abandoned() == []
        assert [run.status for run in history.runs()] == [RunStatus.RUNNING]
        assert query(database, "SELECT name FROM runs").rows == (("left",),)
        assert history.events(history.runs()[0].id)
        with pytest.raises(refusal, match=r"[Nn]ame (a role|the primary)"):
            history.queue.cancel(history.runs()[0].id, None)
