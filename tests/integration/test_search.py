"""Runs are found and questions answered on both databases, and neither can change anything."""

from __future__ import annotations

import functools
import os
import re
import signal
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from benchmarks.history.made_up import FIRST, Row, made_up_run
from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import (
    NotReadOnly,
    QueryError,
    QueryTimeout,
    StorageUnreachable,
    UnknownColumn,
    UnknownTable,
)
from tapeworks.storage.history import History
from tapeworks.storage.queries.listing import Value
from tapeworks.storage.queries.search import find_runs, query
from tapeworks.storage.queries.views import COLUMNS
from tapeworks.storage.records import RunStatus
from tests.integration.conftest import ITERATIONS, RUNS
from tests.support.made_up import submit
from tests.support.postgres import PostgresServer, new_database

QUERIES = Path(__file__).resolve().parents[2] / "docs" / "queries.md"

#: The runs, newest first, as rows of their table.
STORED = [made_up_run(number, ITERATIONS).runs[0] for number in range(RUNS, 0, -1)]


def ids(condition: Callable[[Row], bool]) -> list[str]:
    return [run["id"] for run in STORED if condition(run)]


def found(database: Database, **wanted: Any) -> list[Value]:
    return find_runs(database, columns=["id"], **wanted).column("id")


class TestFindingRuns:
    def test_all_are_listed_newest_first_with_all_columns(self, filled: Database) -> None:
        everything = find_runs(filled)
        assert everything.columns == COLUMNS["runs"]
        assert everything.column("id") == ids(lambda run: True)
        assert set(everything.column("status")) == {"completed", "failed", "cancelled"}

    def test_by_any_of_several_statuses(self, filled: Database) -> None:
        ended = [RunStatus.FAILED, RunStatus.CANCELLED]
        assert len(ids(lambda run: run["status"] in ended)) == 2
        assert found(filled, status=ended) == ids(lambda run: run["status"] in ended)

    def test_by_tags_all_of_which_must_be_there(self, filled: Database) -> None:
        of_study = ids(lambda run: run["name"].startswith("nightly"))
        assert found(filled, tags={"study": "nightly"}) == of_study
        assert found(filled, tags={"study": "nightly", "place": "here"}) == []

    def test_since_a_moment_in_any_time_zone(self, filled: Database) -> None:
        moment = STORED[7]["created_at"]
        later = moment.astimezone(datetime.now().astimezone().tzinfo)
        assert found(filled, since=later) == [run["id"] for run in STORED[:8]]
        assert found(filled, since=moment + timedelta(microseconds=1)) == ids(
            lambda run: run["created_at"] > moment
        )

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            (
                "learning_rate = 0.01 OR NOT status = 'completed'",
                lambda run: (
                    run["configuration"]["learning_rate"] == 0.01 or run["status"] != "completed"
                ),
            ),
            ("name LIKE 'night%' AND seed % 2 = 0", lambda run: _is_even_night(run)),
            ("reason IS NOT NULL -- that is all", lambda run: run["reason"] is not None),
            (f"created_at < '{FIRST:%Y-%m-%d %H}:20'", lambda run: run["number"] < 3),
            ("id IN (SELECT run_id FROM iterations WHERE iteration > 500)", lambda run: False),
            ("name = 'seeds:1' OR name = '50%' OR name = '%s ? $1'", lambda run: False),
            ("option.hidden > 64", lambda run: _hidden(run) == 128),
            ("OPTION.hidden < 100 OR option.hidden IS NULL", lambda run: _hidden(run) != 128),
            ("option.activation LIKE 're%' AND seed < 2", lambda run: _is_own(run, seed=2)),
            ("option.bias", lambda run: _option(run, "bias") is True),
            ("NOT option.bias AND option.hidden = 64", lambda run: _is_unbiased(run)),
            ("option.scale < 1 AND option.scale > 0", lambda run: _option(run, "scale") == 1e-05),
            ("option.nowhere > 3", lambda run: False),
            ("option.nowhere IS NULL AND option.activation = 'relu'", lambda run: _is_own(run)),
            ("network = 'lenet.py' AND name <> 'option.hidden > 1'", lambda run: _is_own(run)),
            ("option.hidden > 1 /* option.no */ -- option.no", lambda run: _is_own(run)),
        ],
    )
    def test_by_a_condition(
        self, filled: Database, where: str, expected: Callable[[Row], bool]
    ) -> None:
        assert found(filled, where=where) == ids(expected)

    def test_everything_asked_for_must_be_fulfilled(self, filled: Database) -> None:
        wanted = {"tags": {"study": "rates"}, "since": STORED[15]["created_at"], "limit": 2}
        rates = [run["id"] for run in STORED[:16] if run["name"].startswith("rates")]
        assert (
            found(filled, status=[RunStatus.COMPLETED], where="1 = 0 OR 1 = 1", **wanted)
            == (rates[:2])
        )

    @pytest.mark.parametrize("descending", [True, False])
    def test_sorted_by_a_column_with_the_unknown_last(
        self, filled: Database, descending: bool
    ) -> None:
        losses = find_runs(filled, sort="seed", descending=descending).column("seed")
        assert losses == sorted(losses, key=int, reverse=descending)  # type: ignore[arg-type]
        reasons = find_runs(filled, sort="reason", descending=descending).column("reason")
        assert reasons[0] is not None
        assert set(reasons[1:]) == {None}

    @pytest.mark.parametrize("descending", [True, False])
    def test_options_are_columns_to_be_shown_and_sorted_by(
        self, filled: Database, descending: bool
    ) -> None:
        names = ["option.hidden", "option.activation", "option.scale", "option.nowhere", "seed"]
        listing = find_runs(filled, columns=names, sort="option.hidden", descending=descending)
        assert listing.columns == tuple(names)
        assert listing.rows[0][0] == (128 if descending else 64)
        assert type(listing.rows[0][0]) is int
        assert set(listing.column("option.hidden")[4:]) == {None}
        assert set(listing.column("option.activation")[:4]) == {"relu"}
        assert set(listing.column("option.scale")) == {1e-05, None}
        assert set(listing.column("option.nowhere")) == {None}
        assert len(found(filled, sort="option.nowhere")) == RUNS

    def test_options_of_several_kinds_are_text_and_numbers_have_no_idle_fraction(
        self, either_history: History
    ) -> None:
        kinds = [{"width": 2, "scale": 1.0}, {"width": "wide"}, {"width": None, "scale": 0.5}, {}]
        own = functools.partial(submit, either_history, network_source="width = 2\n")
        runs = [own(configuration={"options": one}).id for one in kinds]
        database = either_history.database
        assert found(database, where="option.width = 'wide'") == [runs[1]]
        assert found(database, where="option.width = '2'") == [runs[0]]
        assert found(database, where="option.scale >= 1") == [runs[0]]
        assert set(found(database, where="option.width IS NULL")) == {runs[2], runs[3]}
        [row] = find_runs(database, where="option.scale = 1", columns=["option.scale"]).rows
        assert [repr(cell) for cell in row] == ["1"]

    def test_the_columns_are_those_asked_for_in_their_order(self, filled: Database) -> None:
        listing = find_runs(filled, columns=["seed", "id", "tags"], limit=1)
        assert listing.columns == ("seed", "id", "tags")
        assert listing.rows == (
            (STORED[0]["configuration"]["seed"], STORED[0]["id"], '{"study":"rates"}'),
        )

    @pytest.mark.parametrize(
        "wanted",
        [
            {"where": "final_los < 12"},
            {"where": "1 = 1 AND NOT runs.final_los > 3"},
            {"sort": "final_los"},
            {"columns": ["id", "final_los"]},
        ],
    )
    def test_an_unknown_column_is_refused_with_the_nearest_one(
        self, filled: Database, wanted: dict[str, Any]
    ) -> None:
        with pytest.raises(UnknownColumn) as refusal:
            find_runs(filled, **wanted)
        assert str(refusal.value) == (
            "There is no column 'final_los'. Did you mean final_loss? "
            'List the columns with: tapeworks query "SELECT * FROM runs LIMIT 0"'
        )

    @pytest.mark.parametrize(
        ("where", "meant"),
        [
            ("user = 'bob'", "'user'. Did you mean submitter?"),
            ("name <> 'user' AND Session_User='bob'", "'session_user'. Did you mean submitter?"),
            ("submitter=bob", "'bob'. Text goes between single quotation marks: 'bob'."),
            ("name = lr-3", "'lr'. Text goes between single quotation marks: 'lr-3'."),
            ("name LIKE bob", "'bob'. Text goes between single quotation marks: 'bob'."),
            ("name IN ( bob)", "'bob'. Text goes between single quotation marks: 'bob'."),
        ],
    )
    def test_a_word_that_is_no_column_is_refused_with_what_may_be_meant(
        self, filled: Database, where: str, meant: str
    ) -> None:
        with pytest.raises(UnknownColumn) as refusal:
            find_runs(filled, where=where)
        assert meant in str(refusal.value).replace("Session_User", "session_user")

    def test_words_of_postgresql_are_texts_and_names_as_anywhere(self, filled: Database) -> None:
        find_runs(filled, where="name = 'user' OR name LIKE 'current_user' -- user")
        assert query(filled, "SELECT submitter AS user FROM runs LIMIT 0").columns == ("user",)
        with pytest.raises(UnknownColumn, match="Did you mean actor"):
            query(filled, "SELECT user FROM events")

    @pytest.mark.parametrize("where", ["", "final_loss <", "1 = 1) --", "1 = 1; DELETE FROM runs"])
    def test_what_is_no_condition_is_refused(self, filled: Database, where: str) -> None:
        with pytest.raises(QueryError, match=r"The database cannot answer this: .*near"):
            find_runs(filled, where=where)


def _option(run: Row, name: str) -> Any:
    return run["configuration"]["options"].get(name)


def _hidden(run: Row) -> Any:
    return _option(run, "hidden")


def _is_own(run: Row, seed: int = 10) -> bool:
    return run["network_digest"] is not None and run["configuration"]["seed"] < seed


def _is_unbiased(run: Row) -> bool:
    return _option(run, "bias") is False and _hidden(run) == 64


def _is_even_night(run: Row) -> bool:
    return str(run["name"]).startswith("nightly") and run["configuration"]["seed"] in {0, 2, 4}


class TestAsking:
    def test_a_query_of_several_lines_with_comments(self, filled: Database) -> None:
        sql = """-- the newest
            WITH newest AS (
                SELECT id, name FROM runs /* all; of them */ ORDER BY created_at DESC LIMIT 1
            )
            SELECT id, name AS "is: called", '100 %' AS percent FROM newest;
            -- the end"""
        listing = query(filled, sql)
        assert listing.columns == ("id", "is: called", "percent")
        assert listing.rows == ((STORED[0]["id"], STORED[0]["name"], "100 %"),)

    def test_values_are_plain_and_the_same_on_both(self, filled: Database) -> None:
        sql = """SELECT created_at, tags, 0.1 + 0.2 AS sum, NULL AS unknown, allow_mixed_workers,
            (SELECT sum(images) FROM iterations WHERE run_id = r.id) AS images,
            (SELECT labels FROM stored_runs WHERE id = r.id) AS labels,
            (SELECT confusion FROM evaluations WHERE run_id = r.id) AS confusion
            FROM runs AS r ORDER BY id LIMIT 1"""
        [row] = query(filled, sql).rows
        confusion = made_up_run(1, ITERATIONS).evaluations[0]["confusion"]
        assert list(row) == [
            f"{STORED[-1]['created_at']:%Y-%m-%d %H:%M:%S.%f}",
            '{"study":"seeds"}',
            pytest.approx(0.3),
            None,
            0,
            50 * ITERATIONS,
            "0001" * 25,
            str(confusion).replace(" ", ""),
        ]

    def test_the_first_rows_only(self, filled: Database) -> None:
        sql = "SELECT id FROM runs ORDER BY id"
        assert query(filled, sql, limit=3).column("id") == [run["id"] for run in STORED[:-4:-1]]
        assert query(filled, sql + " LIMIT 0").rows == ()

    def test_any_table_may_be_read(self, filled: Database) -> None:
        assert query(filled, "SELECT count(*) AS n FROM stored_iterations").column("n") == [
            RUNS * ITERATIONS
        ]

    @pytest.mark.parametrize(
        ("sql", "words"),
        [
            ("SELEC 1", "SELEC"),
            ("SELECT * FROM runs ORDER BY", "syntax error|incomplete input"),
            ("SELECT count(*, 1) FROM runs", "count|syntax"),
            ("SELECT nothing_like_it(1)", "nothing_like_it"),
            ("WITH gone AS (SELECT 1) SELECT * FROM gone, (SELECT", "syntax error|incomplete"),
        ],
    )
    def test_what_is_wrong_is_told_in_the_databases_words(
        self, filled: Database, sql: str, words: str
    ) -> None:
        with pytest.raises(QueryError, match=words) as refusal:
            query(filled, sql)
        assert "\n" not in str(refusal.value)

    def test_an_unknown_column_or_view_is_told_with_the_nearest(self, filled: Database) -> None:
        with pytest.raises(UnknownColumn, match=r"'los'\. Did you mean loss\?.* FROM iterations"):
            query(filled, "SELECT i.los FROM iterations AS i")
        with pytest.raises(UnknownTable, match=r"'iteration'\. Did you mean iterations\?"):
            query(filled, "SELECT 1 FROM iteration")
        with pytest.raises(UnknownTable, match="The views are: runs, iterations, images"):
            query(filled, "SELECT 1 FROM zzz")

    def test_bytes_that_are_no_text_are_refused(self, filled: Database) -> None:
        with pytest.raises(QueryError, match="Unicode"):
            query(filled, "SELECT '\udcff'")
        with pytest.raises(QueryError, match="Unicode"):
            find_runs(filled, tags={"kind": "\udcff"})


#: What would change something, end the transaction, or reach beyond the database.
REFUSED = (
    "INSERT INTO stored_tags SELECT id, 'a', 'b' FROM stored_runs",
    "DELETE FROM stored_tags",
    "UPDATE stored_runs SET name = 'x'",
    "DELETE FROM runs",
    "DROP TABLE stored_tags",
    "CREATE TABLE mine (a INTEGER)",
    "CREATE TEMP TABLE mine (a INTEGER)",
    "ALTER TABLE stored_tags ADD COLUMN a INTEGER",
    "SELECT 1; DELETE FROM stored_tags",
    "SELECT 1; COMMIT; DELETE FROM stored_tags",
    "COMMIT; DELETE FROM stored_tags",
    "/* SELECT */ DELETE FROM stored_tags",
    "-- SELECT\nDELETE FROM stored_tags RETURNING 1",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "VACUUM",
    "ANALYZE",
    "",
    "-- nothing",
)

REFUSED_BY_SQLITE = (
    "PRAGMA query_only = OFF",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA user_version = 3",
    "ATTACH 'other.db' AS other",
    "WITH gone AS (SELECT 1) DELETE FROM stored_tags",
    "REPLACE INTO stored_tags VALUES ('a', 'b', 'c')",
    "SAVEPOINT here",
    "REINDEX",
)

REFUSED_BY_POSTGRESQL = (
    "WITH gone AS (DELETE FROM stored_tags RETURNING *) SELECT * FROM gone",
    "SELECT nextval('stored_events_id_seq')",
    "SET TRANSACTION READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY stored_tags TO STDOUT",
    "DO $$ BEGIN DELETE FROM stored_tags; END $$",
    "PREPARE gone AS DELETE FROM stored_tags",
    "LOCK TABLE stored_tags",
    "CALL nothing()",
)


class TestChangingNothing:
    @pytest.mark.parametrize("sql", REFUSED)
    def test_the_database_refuses_whatever_is_no_query(self, filled: Database, sql: str) -> None:
        self.is_refused(filled, sql)

    @pytest.mark.parametrize("sql", REFUSED_BY_SQLITE)
    def test_sqlite_refuses_what_only_sqlite_knows(self, filled_sqlite: Database, sql: str) -> None:
        self.is_refused(filled_sqlite, sql, "not authorized")

    @pytest.mark.parametrize("sql", REFUSED_BY_POSTGRESQL)
    def test_postgresql_refuses_what_only_postgresql_knows(
        self, filled_postgresql: Database, sql: str
    ) -> None:
        self.is_refused(filled_postgresql, sql)

    def test_no_function_makes_a_transaction_writable(self, filled_postgresql: Database) -> None:
        with pytest.raises(QueryError, match="must be set before any query"):
            query(filled_postgresql, "SELECT set_config('transaction_read_only', 'off', false)")

    def test_sqlite_loads_no_extension(self, filled_sqlite: Database) -> None:
        with pytest.raises(QueryError, match="not authorized"):
            query(filled_sqlite, "SELECT load_extension('mine')")

    def test_whoever_comes_next_may_write(self, either_history: History) -> None:
        database = either_history.database
        for _ in range(10):
            query(database, "SELECT 1")
            with pytest.raises(NotReadOnly):
                query(database, "DELETE FROM stored_runs")
            with pytest.raises(QueryError):
                find_runs(database, where="nothing")
        submit(either_history)
        assert len(either_history.runs()) == 1

    def is_refused(self, database: Database, sql: str, words: str = "") -> None:
        told = rf"queries are read-only\. The database says: {words}\S*"
        with pytest.raises(NotReadOnly, match=told):
            query(database, sql)
        assert query(database, "SELECT count(*) AS n FROM stored_tags").column("n") == [RUNS]
        names = query(database, "SELECT DISTINCT name FROM stored_runs").rows
        assert len(names) == RUNS


#: It would go on for ever.
ENDLESS = """WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers)
    SELECT count(*) FROM numbers"""


class TestItsTime:
    def test_a_query_that_takes_too_long_is_stopped(self, filled: Database) -> None:
        with pytest.raises(QueryTimeout, match=r"stopped after 0\.05 seconds.* --seconds"):
            query(filled, ENDLESS, seconds=0.05)
        assert query(filled, "SELECT 1 AS one", seconds=5).rows == ((1,),)

    def test_one_whose_rows_never_end_is_stopped_as_well(self, filled: Database) -> None:
        with pytest.raises(QueryTimeout):
            query(filled, ENDLESS.replace("count(*)", "n"), seconds=0.05)

    def test_ctrl_c_ends_it_as_an_interrupt(self, filled: Database) -> None:
        # A shell has those that it starts in the background ignore it.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        ctrl_c = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        ctrl_c.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                query(filled, ENDLESS, seconds=60)
        finally:
            ctrl_c.cancel()
            signal.signal(signal.SIGINT, before)
        assert query(filled, "SELECT 1 AS one").rows == ((1,),)


class TestOthers:
    def test_a_role_that_may_only_read_is_enough(self, postgres: PostgresServer) -> None:
        """With the rights that the document gives it, in a database of its own."""
        grants = re.findall(r"```sql\n(CREATE ROLE[^`]+)```", QUERIES.read_text(encoding="utf-8"))
        with new_database(postgres.url(), "tapeworks-reader") as address:
            owner = Database(address)
            owner.upgrade()
            submit(History(owner))
            with owner.write() as connection:
                connection.execute(text(grants[0]))
            reader = Database(address.replace("//tapeworks@", "//reader:secret@"))
            reader.ensure_schema()
            assert query(reader, "SELECT status FROM runs").rows == (("queued",),)
            assert len(find_runs(reader).rows) == 1
            with pytest.raises(QueryError, match="permission denied"):
                query(reader, "SELECT rolpassword FROM pg_authid")
            reader.close()
            with owner.write() as connection:
                connection.execute(text("DROP OWNED BY reader; DROP ROLE reader"))
            owner.close()

    def test_a_database_that_is_none_is_no_fault_of_the_query(self, tmp_path: Path) -> None:
        (tmp_path / "runs.db").write_text("no database")
        with pytest.raises(StorageUnreachable, match="not a database"):
            query(Database(tmp_path / "runs.db"), "SELECT 1")
