"""PostgreSQL's limits in each transaction, so that a pooler between us and the server is no bar."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import text

from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import StorageUnreachable
from tapeworks.storage.history import History
from tapeworks.storage.queries.search import query
from tests.support.poolers import pgbouncer, refusing_pooler

pytestmark = pytest.mark.slow

LIMITS = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")


@pytest.fixture(params=["refusing", "session", "transaction"])
def pooled_url(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[str]:
    """A new database behind each kind of pooler."""
    kind: str = request.param
    with (
        refusing_pooler(postgres_url) if kind == "refusing" else pgbouncer(postgres_url, kind)
    ) as url:
        yield url


def limits(database: Database) -> list[str]:
    """Return the limits that hold in a transaction that reads."""
    with database.read() as connection:
        return [connection.execute(text(f"SHOW {name}")).scalar_one() for name in LIMITS]


def test_every_transaction_has_limits_behind_a_pooler(pooled_url: str) -> None:
    with closing(Database(pooled_url)) as database:
        for _ in range(3):
            assert limits(database) == ["5s", "25s", "10s"]


def test_limits_end_with_their_transaction(postgres_url: str) -> None:
    with closing(Database(postgres_url)) as database, database.apart() as connection:
        with connection.begin():
            assert connection.scalar(text("SHOW lock_timeout")) == "5s"
        session: Any = connection.connection.driver_connection
        assert session.execute("SHOW lock_timeout").fetchone() == ("0",)


def test_limits_that_an_address_names_go_first(postgres_url: str) -> None:
    options = "?options=-c%20statement_timeout%3D1234%20--lock-timeout%3D2s"
    with closing(Database(postgres_url + options)) as database:
        assert limits(database) == ["2s", "1234ms", "10s"]


def test_options_that_a_pooler_refuses_are_named_with_the_remedy(postgres_url: str) -> None:
    with (
        refusing_pooler(postgres_url) as url,
        closing(Database(f"{url}?options=-c%20a.b%3D1")) as database,
        pytest.raises(StorageUnreachable, match=r"options\. Take it out of the URL"),
    ):
        database.revision()


def test_a_history_is_kept_behind_a_pooler(pooled_url: str) -> None:
    with closing(Database(pooled_url)) as database:
        database.upgrade()
        history = History(database)

        def submit(number: int) -> str:
            run = history.create_run(
                name=f"run-{number}",
                configuration={},
                iterations=1,
                parameters=b"",
                parameters_digest="",
            )
            claim = history.claim(run.id, f"owner-{number}", 10.0)
            for _ in range(8):  # so often that a driver would prepare the statements
                history.renew(claim, 10.0)
            return run.id

        with ThreadPoolExecutor(2) as threads:
            submitted = sorted(threads.map(submit, range(6)))
        assert sorted(run.id for run in history.runs()) == submitted
        assert query(database, "SELECT count(*) FROM runs").rows == ((6,),)
        database.upgrade()
