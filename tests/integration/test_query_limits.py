"""Queries that try to take more time or memory than they may, and functions that do harm."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import QueryError, QueryTimeout, QueryTooLarge, StorageUnreachable
from tapeworks.storage.queries import query_limits as limits
from tapeworks.storage.queries.search import find_runs, query
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.slow

#: One call of one function that takes hours: no handler of SQLite is called meanwhile.
ONE_CALL = """instr(printf('%.*c', 60000000, 'a'), printf('%.*c', 9000000, 'a') || 'b')"""

#: Rows of 10 MB, and of a number, that never end.
BLOBS = """WITH RECURSIVE numbers(n, content) AS (
    SELECT 1, zeroblob(10000000) UNION ALL SELECT n + 1, zeroblob(10000000) FROM numbers)"""
ENDLESS = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n)"

#: What a query on PostgreSQL may say of its own limits.
UNLIMITED = "set_config('statement_timeout', '0', false)"


class TestSqlite:
    def test_one_call_of_a_function_is_stopped_in_time(self, filled_sqlite: Database) -> None:
        with pytest.raises(QueryTimeout, match=r"after 0\.2 seconds"):
            query(filled_sqlite, f"SELECT {ONE_CALL}", seconds=0.2)

    def test_ctrl_c_stops_it_too_and_leaves_no_process(self, filled_sqlite: Database) -> None:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        ctrl_c = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        ctrl_c.start()
        children = set(psutil.Process().children())
        try:
            with pytest.raises(KeyboardInterrupt):
                find_runs(filled_sqlite, where=f"{ONE_CALL} > 0")
        finally:
            ctrl_c.cancel()
            signal.signal(signal.SIGINT, before)
        assert set(psutil.Process().children()) == children

    @pytest.mark.parametrize(
        ("sql", "words"),
        [
            (f"{BLOBS} SELECT content FROM numbers", "its answer has more than 1000 rows or 16 M"),
            (f"{ENDLESS} SELECT n FROM n", "its answer has more than 1000 rows"),
            (f"{BLOBS} SELECT n FROM numbers ORDER BY n, content", "32 MiB of temporary files"),
            (f"{BLOBS} SELECT json_group_array(hex(content)) FROM numbers", "128 MiB of memory"),
            (f"{ENDLESS} SELECT zeroblob(50000000), zeroblob(50000001) FROM n", "MiB of memory"),
        ],
    )
    def test_what_needs_too_much_room_is_stopped(
        self, filled_sqlite: Database, sql: str, words: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "MOST_ROWS", 1000)
        monkeypatch.setattr(limits, "MOST_BYTES", 16 * 2**20)
        monkeypatch.setattr(limits, "MOST_TEMPORARY", 32 * 2**20)
        monkeypatch.setattr(limits, "MOST_MEMORY", 128 * 2**20)
        with pytest.raises(QueryError, match=words):
            query(filled_sqlite, sql, seconds=60)

    def test_a_value_has_a_largest_size(self, filled_sqlite: Database) -> None:
        with pytest.raises(QueryError, match="too big"):
            query(filled_sqlite, "SELECT length(zeroblob(1000000000))")

    @pytest.mark.parametrize(
        "call", ["load_extension('x')", "sqlite_compileoption_get(0)", "sqlite_log(1, 'x')"]
    )
    def test_only_functions_of_a_list_are_called(self, filled_sqlite: Database, call: str) -> None:
        with pytest.raises(QueryError, match="not authorized"):
            query(filled_sqlite, f"SELECT {call}")

    def test_a_process_that_cannot_be_started_is_told(
        self, filled_sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        with pytest.raises(StorageUnreachable, match="Python cannot be started"):
            query(filled_sqlite, "SELECT 1")

    def test_functions_of_json_may_give_rows(self, filled_sqlite: Database) -> None:
        for name in ("json_each", "json_tree"):
            sql = f"SELECT value FROM {name}('[3, 4]') WHERE atom IS NOT NULL"
            assert query(filled_sqlite, sql).column("value") == [3, 4]

    def test_a_file_that_nobody_can_write_to_is_read(
        self, tmp_path: Path, filled_sqlite: Database
    ) -> None:
        filled_sqlite.copy_to(tmp_path / "copy.db")
        database = Database(tmp_path / "copy.db")
        (tmp_path / "copy.db").chmod(0o400)
        tmp_path.chmod(0o500)
        try:
            assert query(database, "SELECT count(*) AS n FROM tags").column("n") != [0]
        finally:
            tmp_path.chmod(0o700)


class TestPostgresql:
    @pytest.mark.parametrize(
        "sql",
        [
            f"SELECT {UNLIMITED}, pg_sleep(600)",
            f"SELECT {UNLIMITED}, pg_sleep(0.01) FROM generate_series(1, 1000000)",
            "SELECT pg_sleep(0.01) FROM generate_series(1, 1000000)",
        ],
    )
    def test_no_query_lifts_its_limit_of_time(self, filled_postgresql: Database, sql: str) -> None:
        with pytest.raises(QueryTimeout, match=r"after 0\.2 seconds"):
            query(filled_postgresql, sql, seconds=0.2)
        assert query(filled_postgresql, "SELECT 1 AS one").rows == ((1,),)

    def test_a_server_that_does_not_cancel_is_left(
        self, postgres: PostgresServer, filled_postgresql: Database
    ) -> None:
        assert postgres.process is not None
        server = psutil.Process(postgres.process.pid)
        known = {child.pid for child in server.children()}
        stopped = list[psutil.Process]()

        def freeze() -> None:
            for child in server.children():
                if child.pid not in known:
                    child.suspend()
                    stopped.append(child)

        frozen = threading.Timer(0.3, freeze)
        frozen.start()
        try:
            with pytest.raises(QueryTimeout):
                query(filled_postgresql, "SELECT pg_sleep(600)", seconds=0.6)
        finally:
            frozen.join()
            for child in stopped:
                child.resume()
        assert stopped

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT repeat('x', 4000000) FROM generate_series(1, 10000)",
            f"{ENDLESS} SELECT n FROM n",
        ],
    )
    def test_an_answer_that_is_too_large_is_stopped(
        self, filled_postgresql: Database, sql: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "MOST_ROWS", 1000)
        monkeypatch.setattr(limits, "MOST_BYTES", 16 * 2**20)
        with pytest.raises(QueryTooLarge, match=r"more than 1000 rows or 16 MiB\. Ask for"):
            query(filled_postgresql, sql, seconds=60)
        assert query(filled_postgresql, "SELECT 1 AS one").rows == ((1,),)
