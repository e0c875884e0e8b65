"""A PostgreSQL session has our settings, whatever its database and libpq's variables say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import text

from tapeworks.model.parameters import digest
from tapeworks.storage.connection.database import Database
from tapeworks.storage.connection.sessions import POSTGRESQL_SESSION
from tapeworks.storage.errors import StorageUnreachable
from tapeworks.storage.history import History
from tests.support.training import settings, submitted

#: Of a database that other programs use, or of a role that somebody has set up for them.
THEIRS = {
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "bytea_output": "escape",
    "default_transaction_deferrable": "on",
    "default_transaction_isolation": "serializable",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
}


def set_up(url: str, **values: str) -> None:
    """Give every new session of this database these settings."""
    name = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as connection:
        for setting, value in values.items():
            connection.execute(f"ALTER DATABASE \"{name}\" SET {setting} = '{value}'")


@pytest.fixture
def theirs(postgres_url: str) -> Iterator[Database]:
    """A database with other settings than ours."""
    set_up(postgres_url, **THEIRS)
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SHOW DateStyle").fetchone() == ("SQL, DMY",)
    database = Database(postgres_url)
    yield database
    database.close()


def test_a_session_has_our_settings(theirs: Database) -> None:
    with theirs.read() as connection:
        found = {name: connection.scalar(text(f"SHOW {name}")) for name in POSTGRESQL_SESSION}
    assert found == POSTGRESQL_SESSION


def test_a_transaction_that_is_rolled_back_takes_no_setting_back(theirs: Database) -> None:
    with pytest.raises(KeyError), theirs.write():
        raise KeyError("anything")
    with theirs.read() as connection:
        assert connection.scalar(text("SHOW DateStyle")) == "ISO, MDY"


def test_a_history_is_kept_with_other_settings(theirs: Database) -> None:
    theirs.upgrade()
    history, config = History(theirs), settings(iterations=2)
    run = submitted(history, config)
    assert abs(theirs.now() - datetime.now(UTC)) < timedelta(minutes=10)
    assert run.created_at.utcoffset() == timedelta(0)
    assert history.find_run(run.id) == run
    assert digest(history.checkpoint(run.id).parameters) == run.parameters_digest


@pytest.mark.parametrize(
    ("variable", "value"), [("PGDATESTYLE", "German"), ("PGOPTIONS", "-c DateStyle=German")]
)
def test_libpqs_variables_change_no_session(
    variable: str, value: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    database = Database(postgres_url)
    with database.read() as connection:
        assert connection.scalar(text("SHOW DateStyle")) == "ISO, MDY"
    database.close()


def test_a_role_that_may_only_read_is_told_so_with_a_remedy(postgres_url: str) -> None:
    set_up(postgres_url, default_transaction_read_only="on")
    database = Database(postgres_url)
    with pytest.raises(StorageUnreachable, match="default_transaction_read_only = off"):
        database.upgrade()
    database.close()
