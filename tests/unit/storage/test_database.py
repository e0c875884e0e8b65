"""Addresses that cannot work, settings that must hold, and what an error tells people."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import StorageError, StorageRefused, StorageUnreachable
from tapeworks.storage.queries.search import query
from tests.support.somebody_else import foreign_directory

#: The number of a user who is not root.
SOMEBODY = 54_321


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "runs.db")
    database.upgrade()
    yield database
    database.close()


def test_sqlite_commits_are_durable_and_readers_do_not_wait(database: Database) -> None:
    with database.read() as connection:
        settings = {
            name: connection.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    full = 2
    assert settings == {
        "journal_mode": "wal",
        "synchronous": full,
        "busy_timeout": 5_000,
        "foreign_keys": 1,
    }


def test_a_reader_reads_while_a_writer_writes(database: Database) -> None:
    with database.write() as writer:
        writer.execute(text("CREATE TABLE notes (words TEXT)"))
    with database.write() as writer, database.read() as reader:
        writer.execute(text("INSERT INTO notes VALUES ('new')"))
        assert reader.scalar(text("SELECT count(*) FROM notes")) == 0
    with database.read() as reader:
        assert reader.scalar(text("SELECT count(*) FROM notes")) == 1


def break_off(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("CREATE TABLE notes (words TEXT)"))
        raise KeyError("anything")


def test_a_transaction_that_raises_leaves_nothing(database: Database) -> None:
    with pytest.raises(KeyError):
        break_off(database)
    with pytest.raises(StorageError, match="no such table"), database.read() as connection:
        connection.execute(text("SELECT * FROM notes"))


def test_missing_directories_are_made(tmp_path: Path) -> None:
    path = tmp_path / "some" / "where" / "runs.db"
    database = Database(f"sqlite:///{path}")
    database.ensure_schema()
    database.close()
    assert path.is_file()


def test_a_directory_cannot_be_made_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("words")
    with pytest.raises(StorageUnreachable, match="Cannot make the database"):
        Database(tmp_path / "file" / "below" / "runs.db").ensure_schema()


@pytest.mark.parametrize(
    ("make", "kind"), [(Path.mkdir, "a directory"), (os.mkfifo, "a pipe, a socket or a device")]
)
def test_a_path_that_is_no_file_is_refused(
    make: Callable[[Path], None], kind: str, tmp_path: Path
) -> None:
    make(tmp_path / "runs.db")
    with pytest.raises(StorageRefused, match=f"Received: {kind}: .*Name another file"):
        Database(tmp_path / "runs.db").ensure_schema()


def test_a_damaged_file_is_refused_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    with closing(Database(file)) as database:
        database.ensure_schema()
    file.write_bytes(file.read_bytes()[:20_000])
    with pytest.raises(StorageRefused, match=r"malformed\. It is damaged: .*backup"):
        Database(file).ensure_schema()
    assert file.stat().st_size == 20_000


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageUnreachable, match="Name a file in a directory"):
        Database(tmp_path / "runs.db").ensure_schema()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be another user")
def test_a_directory_that_may_not_be_entered_is_refused() -> None:
    with foreign_directory() as directory:
        (directory / "closed").mkdir(mode=0o700)
        (directory / "closed" / "runs.db").touch()
        os.seteuid(SOMEBODY)
        try:
            with pytest.raises(StorageRefused, match="unable to open"):
                Database(directory / "closed" / "runs.db").ensure_schema()
        finally:
            os.seteuid(0)


@pytest.mark.parametrize("name", ["loop", 300 * "a"])
def test_a_name_that_leads_to_no_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(StorageRefused, match="unable to open"):
        Database(tmp_path / name).ensure_schema()


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader, this is no database. " * 100)
    with pytest.raises(StorageUnreachable, match=r"not a database\. Name another file"):
        Database(path).ensure_schema()
    assert path.read_text().startswith("Dear reader")


@pytest.mark.parametrize("url", ["runs.db", "sqlite:///runs.db"])
def test_a_relative_path_is_the_same_file_after_the_process_has_moved(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    database = Database(url)
    database.ensure_schema()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert database.file == tmp_path / "runs.db"
    assert query(database, "SELECT count(*) FROM runs").rows == ((0,),)
    database.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_history_in_memory_is_refused(url: str) -> None:
    with pytest.raises(StorageUnreachable, match="Expected the path of a file to keep"):
        Database(url)


@pytest.mark.parametrize("url", ["http://", "unknown://host/name", "://"])
def test_an_address_of_nothing_that_we_know_is_refused(url: str) -> None:
    with pytest.raises(StorageUnreachable, match="Expected"):
        Database(url)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_that_does_not_answer_is_one_sentence_without_its_password(scheme: str) -> None:
    installed = importlib.util.find_spec("psycopg") is not None
    sentence = "Check the address" if installed else r"pip install 'psycopg\[binary\]'"
    with pytest.raises(StorageUnreachable, match=sentence) as refusal:
        Database(f"{scheme}://me:secret@127.0.0.1:1/runs").ensure_schema()
    assert "secret" not in str(refusal.value)
    assert " postgresql://me:***@127.0.0.1:1/runs" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_nobody_but_its_owner_reads_a_new_database_or_a_backup(
    database: Database, tmp_path: Path
) -> None:
    before = os.umask(0o022)
    try:
        database.ensure_schema()
        database.copy_to(tmp_path / "backup.db")
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    names = ("runs.db", "runs.db-wal", "runs.db-shm", "backup.db")
    assert modes == dict.fromkeys(names, 0o600)


def test_the_mode_of_a_database_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "shared.db").touch()
    (tmp_path / "shared.db").chmod(0o640)
    database = Database(tmp_path / "shared.db")
    database.ensure_schema()
    assert (tmp_path / "shared.db").stat().st_mode & 0o777 == 0o640
    database.close()


def test_a_file_that_could_not_be_made_at_first_is_made_later(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.touch()
    with closing(Database(place / "runs.db")) as database:
        with pytest.raises(StorageUnreachable, match="Name a file in a directory"):
            database.ensure_schema()
        place.unlink()
        database.ensure_schema()
