"""A PostgreSQL that is stopped, not killed: its connections stay, and nothing comes from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError

from tapeworks.model.config import RunConfig
from tapeworks.scheduler.driving.keeper import Lease
from tapeworks.storage.connection import liveness
from tapeworks.storage.connection.database import Database
from tapeworks.storage.queries.search import query
from tests.support.calls import Call
from tests.support.commits import Moment
from tests.support.postgres import PostgresServer
from tests.support.scenes import CONFIG, OUTAGE, Fault, Observed, Scene, is_whole
from tests.support.training import Digests

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a silence looked into soon."""
    monkeypatch.setattr(liveness, "ASK_SECONDS", 0.1)
    monkeypatch.setattr(liveness, "REPLY_SECONDS", 2)


@pytest.fixture
def postgres(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """A server of our own, which goes on afterwards."""
    yield postgres
    if postgres.process:
        postgres.thaw()


@pytest.fixture
def database(postgres: PostgresServer, postgres_url: str) -> Iterator[Database]:
    database = Database(postgres_url)
    yield database
    postgres.thaw()
    database.close()


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize(("moment", "number"), [("before_commit", 6), ("after_commit", 8)])
def test_a_scheduler_reports_a_frozen_server_as_an_outage_and_goes_on_when_it_thaws(
    observed: Observed,
    postgres: PostgresServer,
    postgres_url: str,
    moment: Moment,
    number: int,
    undisturbed: Callable[[RunConfig], Digests],
) -> None:
    history = observed(postgres_url, Fault(moment, number, postgres.freeze))
    scene = Scene(history, on_outage=postgres.thaw, lease=Lease(renew_seconds=0.0))
    run = scene.play()
    is_whole(history, run, undisturbed(CONFIG))
    assert scene.notices == OUTAGE
    assert scene.events(run) == ["submitted", "claimed", *OUTAGE, "completed"]


@pytest.fixture
def freeze_at(postgres: PostgresServer) -> Iterator[Callable[[str], None]]:
    """Freezes the server when a statement with these words is about to be sent, once."""
    wanted: list[str] = []

    def look(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if wanted and wanted[0] in statement:
            wanted.clear()
            postgres.freeze()

    event.listen(Engine, "before_cursor_execute", look)
    yield wanted.append
    event.remove(Engine, "before_cursor_execute", look)


def test_a_command_whose_server_freezes_in_a_statement_ends_with_one_sentence(
    freeze_at: Callable[[str], None],
    postgres: PostgresServer,
    postgres_url: str,
    places: Path,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", postgres_url)
    assert call("db upgrade").code == 0
    freeze_at("FROM stored_runs")
    called = call("runs")
    postgres.thaw()
    assert (called.code, called.out, len(called.err.splitlines())) == (4, "", 1)
    assert "the server has stopped answering" in called.err


def test_a_long_statement_of_a_living_server_is_waited_for(database: Database) -> None:
    with database.read() as connection:
        assert connection.scalar(text("SELECT 1 FROM pg_sleep(0.8)")) == 1


def test_a_statement_whose_own_process_is_stuck_is_given_up_when_its_time_is_over(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "LONGEST_SILENCE_SECONDS", 1.0)
    database = Database(postgres_url)
    with database.apart() as connection:
        stuck = psutil.Process(connection.scalar(text("SELECT pg_backend_pid()")) or 0)
        stuck.suspend()
        with pytest.raises(DBAPIError, match="stopped answering"):
            connection.execute(text("SELECT 1"))
    stuck.resume()
    database.close()


def test_a_query_that_may_take_long_is_not_cut_by_the_limit_of_others(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "LONGEST_SILENCE_SECONDS", 0.3)
    database = Database(postgres_url)
    assert query(database, "SELECT 1 AS one FROM pg_sleep(0.8)", seconds=20.0).rows == ((1,),)
    database.close()
