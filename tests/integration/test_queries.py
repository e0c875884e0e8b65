"""The questions of docs/queries.md, asked of the same made-up history on both databases."""

from __future__ import annotations

import pytest

from benchmarks.history.questions import Question, questions
from tapeworks.storage.connection.database import Database
from tapeworks.storage.queries.listing import Listing
from tapeworks.storage.queries.search import query
from tapeworks.storage.queries.views import COLUMNS

#: What finds nothing in a history where nothing waits, nothing is wrong and nothing is repeated.
FINDING_NOTHING = {
    "What waits in the queue, the next one first?",
    "Which images were not counted exactly once?",
    "Which runs have the same parameters, bit for bit?",
}


@pytest.mark.parametrize("question", questions(), ids=lambda question: question.title)
def test_a_question_gets_the_same_answer_from_both_databases(
    question: Question, filled_sqlite: Database, filled_postgresql: Database
) -> None:
    asked = question.about([7, 8])
    here, there = query(filled_sqlite, asked.sql), query(filled_postgresql, asked.sql)
    assert list(here.columns) == question.header
    assert_the_same(here, there)
    assert bool(here.rows) is (question.title not in FINDING_NOTHING)


@pytest.mark.parametrize("view", COLUMNS)
def test_a_view_says_the_same_on_both_databases(
    view: str, filled_sqlite: Database, filled_postgresql: Database
) -> None:
    few = "(SELECT id FROM runs ORDER BY id LIMIT 4)"
    key = {"runs": "id", "networks": "digest"}.get(view, "run_id")
    sql = f"SELECT * FROM {view}" + ("" if key == "digest" else f" WHERE {key} IN {few}")
    both = (filled_sqlite, filled_postgresql)
    here, there = (query(database, f"{sql} ORDER BY 1, 2, 3") for database in both)
    assert here.columns == COLUMNS[view]
    assert here.rows or view == "deletions"  # of runs that are gone
    assert_the_same(here, there)


def assert_the_same(here: Listing, there: Listing) -> None:
    """Equal but for the last bits of sums, whose order each database chooses."""
    assert here.columns == there.columns
    assert len(here.rows) == len(there.rows)
    for mine, yours in zip(here.rows, there.rows, strict=True):
        assert list(mine) == [
            pytest.approx(cell, rel=1e-12) if isinstance(cell, float) else cell for cell in yours
        ]
