"""Indexes for all that is asked often, on both databases: told by the plans that they make."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import text

from benchmarks.history.made_up import run_id
from benchmarks.history.questions import Question, questions
from tapeworks.cli.commands.find import COLUMNS
from tapeworks.storage.connection.database import Database
from tapeworks.storage.queries.options import Options
from tapeworks.storage.queries.search import runs_statement
from tapeworks.storage.queries.views import NAMES as VIEWS

RUN = f"run_id = '{run_id(7)}'"

#: What is asked, and by which index its rows are found: SQLite's name of a primary key, and
#: PostgreSQL's.
KEYS = {
    "pk_stored_iterations": "i USING PRIMARY KEY",
    "(pk|uq)_stored_workers": "sqlite_autoindex_stored_workers_",
    "uq_stored_runs_id": "sqlite_autoindex_stored_runs_1",
    "pk_stored_evaluations": "sqlite_autoindex_stored_evaluations_1",
    "pk_stored_checkpoints": "sqlite_autoindex_stored_checkpoints_1",
    "pk_stored_tags": "sqlite_autoindex_stored_tags_1",
}

INDEXED = [
    ("SELECT name FROM runs WHERE status = 'failed'", "ix_stored_runs_status_priority_created_at"),
    ("SELECT id FROM runs WHERE final_loss < 2", "ix_stored_runs_final_loss"),
    ("SELECT id FROM runs ORDER BY final_loss LIMIT 5", "ix_stored_runs_final_loss"),
    ("SELECT id FROM runs WHERE created_at > '2026-11-01'", "ix_stored_runs_created_at_id"),
    ("SELECT id FROM runs WHERE name = 'rates-4'", "ix_stored_runs_name_created_at"),
    (f"SELECT * FROM runs WHERE id = '{run_id(7)}'", "uq_stored_runs_id"),
    (f"SELECT * FROM iterations WHERE {RUN}", "pk_stored_iterations"),
    (f"SELECT loss FROM iterations WHERE {RUN} AND iteration = 3", "pk_stored_iterations"),
    (f"SELECT * FROM images WHERE {RUN} AND iteration = 3", "pk_stored_iterations"),
    (f"SELECT * FROM ledger WHERE {RUN}", "pk_stored_iterations"),
    (f"SELECT * FROM workers WHERE {RUN}", "(pk|uq)_stored_workers"),
    (f"SELECT * FROM events WHERE {RUN}", "ix_stored_events_run_id"),
    (f"SELECT * FROM evaluations WHERE {RUN}", "pk_stored_evaluations"),
    (f"SELECT * FROM checkpoints WHERE {RUN}", "pk_stored_checkpoints"),
    (f"SELECT * FROM tags WHERE {RUN}", "pk_stored_tags"),
    (f"SELECT * FROM options WHERE {RUN}", "uq_stored_runs_id"),
    ("SELECT id FROM runs WHERE network_digest = '0'", "ix_stored_runs_network_digest"),
    ("SELECT runs FROM networks WHERE digest = '0'", "ix_stored_runs_network_digest"),
    ("SELECT run_id FROM tags WHERE key = 'a' AND value = 'b'", "ix_stored_tags_key_value"),
]


def plan(database: Database, sql: str) -> str:
    """Return how the database would find the rows; PostgreSQL as if the tables were large."""
    with database.read() as connection:
        connection.execution_options(no_parameters=True)  # a % is a %
        if database.is_sqlite:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}")
            return "\n".join(row.detail for row in rows)
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        return "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {sql}"))


@pytest.mark.parametrize(("sql", "index"), INDEXED)
def test_rows_are_found_by_an_index(filled: Database, sql: str, index: str) -> None:
    found = plan(filled, sql)
    assert re.search(KEYS.get(index, index) if filled.is_sqlite else index, found)
    assert "Seq Scan" not in found


def test_the_listing_of_runs_reads_the_newest_and_sorts_nothing(filled: Database) -> None:
    options = Options(dialect=filled.dialect.name)
    statement = runs_statement(COLUMNS, [], "created_at", True, options)
    sql = str(statement.limit(20).compile(compile_kwargs={"literal_binds": True}))
    found = plan(filled, sql)
    assert "ix_stored_runs_created_at_id" in found
    assert "TEMP B-TREE" not in found
    assert "Sort" not in found


@pytest.mark.parametrize("question", questions(), ids=lambda question: question.title)
def test_no_question_reads_the_iterations_of_other_runs(
    question: Question, filled: Database
) -> None:
    found = plan(filled, question.about([7, 8]).sql)
    assert {"SCAN i", *(f"MATERIALIZE {view}" for view in VIEWS)}.isdisjoint(found.splitlines())
    assert "Seq Scan on stored_iterations" not in found
