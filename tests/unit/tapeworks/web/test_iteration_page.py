"""The page of an iteration and the comparison: what they show."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from starlette.datastructures import QueryParams
from starlette.testclient import TestClient

from tapeworks.storage.history import History
from tapeworks.web.pages import compare
from tapeworks.web.pages.compare import compare_context
from tapeworks.web.pages.iteration import iteration_context, repeated, strips
from tests.support.made_up import LEASE, commit_of, iteration_of, submit
from tests.support.stories import tell


def test_a_ledger_tells_who_computed_what_and_when(client: TestClient, history: History) -> None:
    run = tell(history, [[4.0, 2.0], [3.0, 1.0]])
    shown = iteration_context(history, run.id, 1)
    assert [(row, [(s.left, s.width) for s in own]) for row, own in shown["rows"]] == [
        ("desk-9", [(pytest.approx(10.0), pytest.approx(50.0))]),
        ("desk-10", [(pytest.approx(10.0), pytest.approx(75.0))]),
    ]
    assert [(line.shard, line.attempt) for line in shown["repeated"]] == [(1, 2)]
    assert (shown["before"], shown["after"]) == (0, None)
    text = client.get(f"/runs/{run.id}/iterations/1").text
    assert "Each of the 2 images was counted exactly once." in text
    assert text.count("<rect") == 2


def test_an_image_that_was_not_counted_once_is_seen(history: History) -> None:
    claim = history.claim(submit(history).id, "alice", LEASE)
    history.commit(claim, [commit_of(iteration_of(claim))])
    run = history.find_run(claim.run_id)
    assert iteration_context(history, run.id, 0)["proof"].holds
    with history.database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE stored_iterations SET ledger = json_remove(ledger, '$[1]')"
        )
    proof = iteration_context(history, run.id, 0)["proof"]
    assert (proof.images, proof.fewest, proof.most, proof.holds) == (20, 0, 1, False)


def test_why_a_shard_was_sent_again_is_told_of_that_iteration_alone(history: History) -> None:
    claim = history.claim(submit(history).id, "alice", LEASE)
    history.commit(claim, [commit_of(iteration_of(claim, 0)), commit_of(iteration_of(claim, 1))])
    for iteration in (1, 11):
        told = f"Shard 0 of iteration {iteration} sent again, attempt 2: late."
        history.add_event(claim, "sent_again", told)
    [event] = iteration_context(history, claim.run_id, 1)["events"]
    assert "iteration 1 sent" in event.message


def test_times_that_were_not_recorded_are_not_drawn(client: TestClient, history: History) -> None:
    run = tell(history, [[4.0], [3.0], [2.0], [1.0]], settings={"record_images_every": 3})
    missing = set(range(4)) - set(history.list_recorded_iterations(run.id))
    text = client.get(f"/runs/{run.id}/iterations/{min(missing)}").text
    assert "<rect" not in text
    assert "counted exactly once" in text


@pytest.mark.parametrize(
    ("path", "status"), [("9", 404), ("x", 422), ("99999999999999999999", 422)]
)
def test_an_iteration_that_is_not_there_is_told(
    client: TestClient, history: History, path: str, status: int
) -> None:
    run = tell(history, [[4.0]])
    assert client.get(f"/runs/{run.id}/iterations/{path}").status_code == status
    moved = client.get(f"/runs/{run.id}/iterations?iteration=0")
    assert moved.headers["location"] == f"/runs/{run.id}/iterations/0"


def test_a_strip_is_cut_where_clocks_differ(history: History) -> None:
    from tapeworks.plotting.timeline import timeline

    run = tell(history, [[4.0, 2.0]])
    shown = timeline(history, run, 0)
    early = replace(shown, bars=tuple(replace(bar, begin=bar.begin - 0.3) for bar in shown.bars))
    [strip] = strips(early, 0, 1.0)
    assert strip.left == 0.0
    assert strip.width == pytest.approx(30.0)
    assert repeated([]) == []


def test_runs_are_compared_as_on_the_command_line(client: TestClient, history: History) -> None:
    one = tell(history, [[4.0], [3.0]], name="one")
    tell(history, [[4.0], [2.0]], name="other")
    third = tell(history, [[4.0]], name="third", settings={"learning_rate": 0.5})
    asked = QueryParams([("run", name) for name in ("one", "other", "third", one.id, "")])
    shown = compare_context(history, asked)
    assert [label for _, label in shown["runs"]] == ["one", "other", "third"]
    assert shown["lines"]["learning_rate"] == ["0.001", "0.001", "0.5"]
    [sentence] = shown["bits"]
    assert "differ first in the loss of image 0 in iteration 1" in sentence
    text = client.get(f"/compare?{asked}").text
    assert re.findall(r'data-curves="([^"]+)"', text) == [
        f"/curves?{'&amp;'.join(f'run={run.id}' for run, _ in shown['runs'])}"
    ]
    assert third.id in text


def test_one_run_is_no_comparison(client: TestClient, history: History) -> None:
    tell(history, [[4.0]], name="one")
    for query in ("", "?run=one", "?run=one&run=one"):
        assert "Choose two or more" in client.get(f"/compare{query}").text
    assert client.get("/compare?run=nothing").status_code == 404
    assert client.get("/compare?" + "run=one&" * 21).status_code == 422


def test_runs_that_take_too_long_are_left_to_the_command_line(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "other"):
        tell(history, [[4.0], [3.0]], name=name)
    monkeypatch.setattr(compare, "MOST_ITERATIONS", 3)
    [sentence] = compare_context(history, QueryParams("run=one&run=other"))["bits"]
    assert "tapeworks compare" in sentence
