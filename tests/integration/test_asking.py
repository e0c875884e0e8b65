"""Questions in SQL are answered on both databases, in time, and cannot change anything."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from benchmarks.history.made_up import made_up_run
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
from tapeworks.storage.queries.search import find_runs, query
from tests.support.filled import ITERATIONS, RUNS, stored_runs
from tests.support.made_up import submit
from tests.support.postgres import PostgresServer, new_database

QUERIES = Path(__file__).resolve().parents[2] / "docs" / "queries.md"


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
        assert listing.rows == ((stored_runs()[0]["id"], stored_runs()[0]["name"], "100 %"),)

    def test_values_are_plain_and_the_same_on_both(self, filled: Database) -> None:
        sql = """SELECT created_at, tags, 0.1 + 0.2 AS sum, NULL AS unknown, allow_mixed_workers,
            (SELECT sum(images) FROM iterations WHERE run_id = r.id) AS images,
            (SELECT labels FROM stored_runs WHERE id = r.id) AS labels,
            (SELECT confusion FROM evaluations WHERE run_id = r.id) AS confusion
            FROM runs AS r ORDER BY id LIMIT 1"""
        [row] = query(filled, sql).rows
        confusion = made_up_run(1, ITERATIONS).evaluations[0]["confusion"]
        assert list(row) == [
            f"{stored_runs()[-1]['created_at']:%Y-%m-%d %H:%M:%S.%f}",
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
        assert query(filled, sql, limit=3).column("id") == [
            run["id"] for run in stored_runs()[:-4:-1]
        ]
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
