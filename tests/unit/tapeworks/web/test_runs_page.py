"""The page of all runs: what it asks the history, and what it shows."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Any

import pytest
from starlette.datastructures import QueryParams
from starlette.testclient import TestClient

from tapeworks.storage.actors import Actor, acting
from tapeworks.storage.history import History
from tapeworks.storage.records import RunStatus
from tapeworks.web.pages import runs
from tapeworks.web.pages.runs import chosen_columns, read_selection, with_values
from tapeworks.web.pages.sparklines import MOST_POINTS, Span, Sparklines, points
from tests.support.made_up import LEASE, commit, submit
from tests.support.stories import tell


def labels(client: TestClient, query: str = "") -> list[str]:
    """Return the names of the runs that are shown, in order."""
    answer = client.get(f"/runs{query}")
    assert answer.status_code == 200, answer.text
    return re.findall(r'<a href="/runs/[^"]+" title="[^"]+">([^<]+)</a>', answer.text)


def headings(client: TestClient, query: str = "") -> dict[str, str]:
    """Return how the page is sorted by each column."""
    text = client.get(f"/runs{query}").text
    return {
        name: order
        for order, name in re.findall(r'aria-sort="(\w+)"[^>]*><a [^>]+>([^<]+)</a>', text)
    }


def test_all_is_asked_for_in_the_url() -> None:
    asked = "where=loss+%3C+1&status=queued&status=paused&tag=a%3Db&tag=&sort=name&order=asc"
    selection = read_selection(QueryParams(f"{asked}&columns=note,seed&limit=7&offset=14"))
    assert selection.where == "loss < 1"
    assert selection.status == (RunStatus.QUEUED, RunStatus.PAUSED)
    assert selection.tags == {"a": "b"}
    assert (selection.sort, selection.descending) == ("name", False)
    assert selection.columns == ("note", "seed")
    assert (selection.limit, selection.offset) == (7, 14)


def test_columns_are_named_once_each_in_one_value_or_several() -> None:
    assert chosen_columns(QueryParams("columns=a,b&columns=b&columns=+c")) == ("a", "b", "c")
    assert chosen_columns(QueryParams("columns=,")) == ()


def test_what_tells_runs_apart_has_columns_unless_others_are_chosen(
    client: TestClient, history: History
) -> None:
    for seed, options in ((1, {"hidden": 8}), (2, {"hidden": 16})):
        submit(history, configuration={"seed": seed, "images": 50, "options": options})
    first, differing = ["last loss", "held-out accuracy"], ["seed", "option.hidden"]
    assert list(headings(client))[3:] == [*first, *differing, "created_at"]
    history.queue.cancel(history.runs()[0].id, "too warm")
    assert list(headings(client))[3:] == [*first, *differing, "created_at", "reason"]
    assert list(headings(client, "?limit=1&order=asc"))[3:] == [*first, "created_at"]
    assert list(headings(client, "?columns=images"))[3:] == ["images"]
    with acting(Actor("bob", "his")):
        submit(history)
    shown = list(headings(client))
    assert (shown[3], shown[-3:]) == ("by", ["created_at", "from", "reason"])
    page = client.get("/runs").text
    assert "<td>bob</td>" in page
    assert "<td>his</td>" in page


def test_a_link_keeps_what_else_is_asked_for() -> None:
    asked = QueryParams("where=a%26b&status=queued&status=paused&offset=50&tag=")
    assert with_values(asked, sort="id", offset=None) == (
        "?where=a%26b&status=queued&status=paused&sort=id"
    )


def test_runs_are_filtered_sorted_and_cut_into_pages(client: TestClient, history: History) -> None:
    for name in ("a", "b", "c"):
        submit(history, name=name, tags={"letter": name}, priority=ord(name))
    history.queue.pause(history.find_run("b").id)
    assert labels(client) == ["c", "b", "a"]
    assert labels(client, "?order=asc") == ["a", "b", "c"]
    assert labels(client, "?status=queued") == ["c", "a"]
    assert labels(client, "?tag=letter%3Da") == ["a"]
    assert labels(client, "?where=priority+%3C+99&sort=priority") == ["b", "a"]
    assert labels(client, "?limit=2") == ["c", "b"]
    assert labels(client, "?limit=2&offset=2") == ["a"]


def test_pages_lead_to_each_other(client: TestClient, history: History) -> None:
    for _ in range(3):
        submit(history)
    first = client.get("/runs?limit=1&sort=id").text
    assert 'href="?limit=1&amp;sort=id&amp;offset=1" data-key="Next"' in first
    assert "Previous" not in first
    assert "1 to 1 of 3 runs" in first
    last = client.get("/runs?limit=1&sort=id&offset=2").text
    assert 'href="?limit=1&amp;sort=id&amp;offset=1" data-key="Previous"' in last
    assert "Next" not in last


def test_columns_are_chosen_and_sorted_by(client: TestClient, history: History) -> None:
    submit(history, note="remember", tags={"a": "1", "b": "2"})
    shown = headings(client, "?columns=note,tags&sort=note&order=asc")
    assert shown == {
        "run": "none",
        "status": "none",
        "iterations": "none",
        "note": "ascending",
        "tags": "none",
    }
    text = client.get("/runs?columns=note,tags").text
    assert "<td>remember</td><td>a=1, b=2</td>" in text


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("where=final_lost+%3C+1", "Did you mean final_loss?"),
        ("where=1%3B+DROP+TABLE+runs", "The database"),
        ("sort=colour", "There is no column &#39;colour&#39;"),
        ("columns=colour", "There is no column &#39;colour&#39;"),
        ("status=asleep", "Received: status=asleep"),
        ("tag=letter", "Received: tag letter"),
        ("order=up", "Expected asc or desc"),
        ("limit=0", "limit"),
        ("limit=1000000", "limit"),
        ("offset=-1", "offset"),
        ("where=%00", "Expected"),
        ("where=%ED%A0%80", "There is no column"),
    ],
)
def test_a_mistake_is_told_in_a_sentence_and_stays_in_the_form(
    client: TestClient, query: str, sentence: str
) -> None:
    answer = client.get(f"/runs?{query}")
    assert answer.status_code == 422
    [told] = re.findall(r'role="alert">(.*?)</p>', answer.text)
    assert sentence in told
    assert "data-live" not in answer.text


def test_what_is_shown_is_sent_once(client: TestClient, history: History) -> None:
    run = submit(history)
    first = client.get("/runs")
    etag = {"If-None-Match": first.headers["etag"]}
    again = client.get("/runs", headers=etag)
    assert (again.status_code, again.content) == (304, b"")
    history.queue.pause(run.id)
    assert "paused" in client.get("/runs").text
    changed = client.get("/runs", headers=etag)
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]


def test_a_change_that_is_not_shown_is_not_sent(client: TestClient, history: History) -> None:
    submit(history, name="shown")
    first = client.get("/runs?status=queued")
    other = submit(history, status=RunStatus.PAUSED)
    history.queue.cancel(other.id)
    client.get("/runs?status=queued")
    again = client.get("/runs?status=queued", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


def test_a_run_shows_its_curve(client: TestClient, history: History) -> None:
    claim = history.claim(submit(history).id, "alice", LEASE)
    assert "<polyline" not in client.get("/runs").text
    for iteration in range(3):
        commit(history, claim, iteration)
    assert '<polyline points="0.0,1.0 50.0,12.0 100.0,23.0"/>' in client.get("/runs").text


def test_a_curve_is_made_of_evenly_spread_iterations() -> None:
    sample = Span(run_id="r", first=100, end=1100).sample()
    assert (sample[0], sample[-1], len(sample)) == (100, 1099, MOST_POINTS)
    assert {b - a for a, b in pairwise(sample)} <= {25, 26}
    assert Span(run_id="r", first=3, end=3).sample() == []
    assert Span(run_id="r", first=3, end=4).sample() == [3]


def test_a_curve_leaves_out_what_is_no_number() -> None:
    losses = [(0, 4.0), (1, math.inf), (2, math.nan), (3, 2.0), (4, 3.0)]
    assert points(losses) == "0.0,1.0 75.0,23.0 100.0,12.0"
    assert points([(0, 1.0)]) == ""
    assert points([(0, 1.0), (1, 1.0)]) == "0.0,23.0 100.0,23.0"


def test_losses_over_fewer_images_say_so_and_curves_are_those_of_a_mean_image(
    client: TestClient, history: History
) -> None:
    settings = {"images": 5, "images_per_iteration": 2}
    run = tell(history, [[4.0, 4.0], [2.0, 2.0], [3.0]], settings=settings)
    for asked in ("", "?columns=final_loss", "?columns=images,final_loss"):
        assert '<td class="right">3.0000, sum over 1 image</td>' in client.get(f"/runs{asked}").text
    span = Span(run_id=run.id, first=0, end=3)
    assert Sparklines(history).draw([span])[run.id] == "0.0,1.0 50.0,23.0 100.0,12.0"
    assert "3.0000, sum over 1 image</td>" in client.get(f"/runs/{run.id}").text


def test_the_curve_of_a_run_that_has_not_gone_on_is_made_once(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = history.claim(submit(history).id, "alice", LEASE)
    commit(history, claim, 0)
    commit(history, claim, 1)
    sparklines, span = Sparklines(history), Span(run_id=claim.run_id, first=0, end=2)
    drawn = sparklines.draw([span])
    monkeypatch.setattr(History, "sample_mean_losses", None)
    assert sparklines.draw([span]) == drawn


def test_a_condition_that_changes_with_the_time_is_asked_again(
    client: TestClient, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(history)
    asked = list[str | None]()
    listed = runs.list_rows

    def list_rows(*arguments: Any) -> Any:
        asked.append(arguments[2].where)
        return listed(*arguments)

    monkeypatch.setattr(runs, "list_rows", list_rows)
    monkeypatch.setattr(runs, "CONDITION_SECONDS", 1e-9)
    for _ in range(2):
        assert labels(client, "?where=created_at+>+'2000-01-01'")
        assert labels(client)
    assert asked == ["created_at > '2000-01-01'", None, "created_at > '2000-01-01'"]
