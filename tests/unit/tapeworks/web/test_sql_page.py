"""The query box: what it asks, what it refuses, and the questions that it offers."""

from __future__ import annotations

import csv
import html
import io
import re

import pytest
from starlette.testclient import TestClient

from benchmarks.history.questions import questions as documented
from tapeworks.storage.history import History
from tapeworks.web.pages import sql
from tapeworks.web.pages.sql import Asking, questions, take_question
from tapeworks.web.problems import Refused
from tests.support.made_up import submit


def test_the_questions_are_those_of_the_document() -> None:
    assert [(one.title, one.sql) for one in questions()] == [
        (one.title, one.sql) for one in documented()
    ]


def test_a_question_is_about_the_newest_runs(history: History) -> None:
    older, newer = submit(history), submit(history)
    number = [one.title for one in questions()].index("How do two runs compare?")
    asked = take_question(history, number)
    assert f"a.run_id = '{newer.id}' AND b.run_id = '{older.id}'" in asked


def test_a_question_is_put_into_the_box_and_not_asked(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "query", None)
    answer = client.get("/sql?question=0")
    [shown] = re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", answer.text, re.DOTALL)
    assert html.unescape(shown) == questions()[0].sql
    assert client.get("/sql?question=99").status_code == 422


def test_a_box_gives_back_what_was_typed_with_its_lines_and_tabs(
    client: TestClient, history: History
) -> None:
    submit(history, name="first")
    for asked, kept in (
        ("SELECT name%0D%0AFROM%09runs%0d%0A%0DLIMIT+2", "SELECT name\nFROM\truns\n\nLIMIT 2"),
        ("SELECT+name,+'%250D%0D'+FROM+runs", "SELECT name, '%0D\n' FROM runs"),
    ):
        answer = client.get(f"/sql?q={asked}")
        [shown] = re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", answer.text, re.DOTALL)
        assert html.unescape(shown) == kept
        assert "<td>first</td>" in answer.text
        assert client.get("/sql", params={"q": kept}).text == answer.text


def test_an_answer_is_a_table_with_numbers_to_the_right(
    client: TestClient, history: History
) -> None:
    submit(history, name="a", note="<b>&")
    answer = client.get("/sql", params={"q": "SELECT name, note, 1.23456789 AS x FROM runs"})
    assert '<td>a</td><td>&lt;b&gt;&amp;</td><td class="right">1.23457</td>' in answer.text


def test_a_table_has_the_first_rows_and_the_csv_all_of_them(
    client: TestClient, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "MOST_SHOWN", 2)
    for name in ("=a", "b", "c"):
        submit(history, note=name)
    asked = {"q": "SELECT note FROM runs ORDER BY id"}
    text = client.get("/sql", params=asked).text
    assert "2 rows, the first ones" in text
    assert "<td>c</td>" not in text
    [link] = re.findall(r'href="(/sql\.csv[^"]+)"', text)
    answer = client.get(html.unescape(link))
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    assert list(csv.reader(io.StringIO(answer.text))) == [["note"], ["'=a"], ["b"], ["c"]]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("DELETE FROM stored_runs", "queries are read-only"),
        ("SELECT nmae FROM runs", "Did you mean name?"),
        ("SELECT 1; SELECT 2", "read-only"),
        ("SELECT 1\0", "without a NUL"),
    ],
)
def test_what_cannot_be_asked_is_told_in_the_page_and_for_the_csv(
    client: TestClient, history: History, asked: str, sentence: str
) -> None:
    submit(history)
    for path in ("/sql", "/sql.csv"):
        answer = client.get(path, params={"q": asked})
        assert answer.status_code == 422
        assert sentence in html.unescape(answer.text)
    assert len(history.runs()) == 1


def test_another_site_only_fills_the_box(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "query", None)
    headers = {"Sec-Fetch-Site": "cross-site"}
    answer = client.get("/sql?q=SELECT+7", headers=headers)
    assert answer.status_code == 200
    assert "SELECT 7</textarea>" in answer.text
    assert sql.NOT_ASKED in answer.text
    assert client.get("/sql.csv?q=SELECT+7", headers=headers).status_code == 403


def test_no_more_queries_are_asked_at_a_time_than_there_is_room_for(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = Asking(history)
    depth = 0

    def ask_within(*_: object, **__: object) -> None:
        nonlocal depth
        depth += 1
        asking.ask("SELECT 1")

    monkeypatch.setattr(sql, "query", ask_within)
    with pytest.raises(Refused, match="ask again when one is done"):
        asking.ask("SELECT 1")
    assert depth == sql.MOST_AT_ONCE
