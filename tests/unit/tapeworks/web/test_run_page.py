"""The page of one run: what it shows, and what its forms change."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from starlette.datastructures import QueryParams
from starlette.testclient import TestClient

from tapeworks.cli.outputs.describe import submitter_text
from tapeworks.errors import InvalidValue
from tapeworks.model.config import RunConfig
from tapeworks.storage.history import History
from tapeworks.storage.records import Request, RunRecord, RunStatus
from tapeworks.web.pages.curves import read_range
from tapeworks.web.pages.run import (
    Action,
    Digests,
    actions,
    measured_seconds,
    settings,
    time_left,
)
from tests.support.made_up import LEASE, commit, iteration_of, submit
from tests.support.stories import evaluated, tell
from tests.support.training import submitted
from tests.support.web import client_of

DRIVEN = RunStatus.RUNNING


def texts_of(text: str, name: str) -> list[str]:
    """Return what stands in the inputs and boxes of this name."""
    inputs = re.findall(rf'<input name="{name}"[^>]*? value="([^"]*)"', text)
    boxes = re.findall(rf'<textarea name="{name}"[^>]*>\n(.*?)</textarea>', text, re.DOTALL)
    return [html.unescape(one) for one in inputs + boxes]


def charts_of(client: TestClient, run: RunRecord, more: str = "") -> dict[str, Any]:
    """Return what is drawn of a run, by its measure."""
    answer = client.get(f"/curves?run={run.id}{more}")
    assert answer.status_code == 200, answer.text
    return {one["name"]: one for one in json.loads(answer.text)["charts"]}


def test_a_run_is_found_by_its_name_and_shown_at_its_id(
    client: TestClient, history: History
) -> None:
    run = submit(history, name="first", note="remember <b>this</b>")
    moved = client.get("/runs/first?events=3")
    assert moved.headers["location"] == f"/runs/{run.id}?events=3"
    text = client.get(moved.headers["location"]).text
    assert "remember &lt;b&gt;this&lt;/b&gt;" in text
    assert client.get("/runs/nothing").status_code == 404
    assert client.get("/runs/first/").status_code in {307, 404}


def test_a_curve_has_each_measure_that_the_network_has(
    client: TestClient, history: History
) -> None:
    run = tell(history, [[4.0, 2.0], [3.0, 1.0]], evaluations=[evaluated(2, 8.0, 0.75)])
    charts = charts_of(client, run)
    assert list(charts) == ["loss", "accuracy", "gradient norm"]
    assert charts["loss"]["places"] == [0, 1, 2]
    assert [line["values"] for line in charts["loss"]["lines"]] == [
        [6.0, 4.0, None],
        [None, None, 4.0],
    ]
    assert charts["gradient norm"]["lines"][0]["values"] == [1.0, 2.0]
    silent = tell(history, [[4.0, 2.0], [3.0, 1.0]], predicts=False)
    assert "accuracy" not in charts_of(client, silent)


def test_a_curve_has_few_points_that_stay_while_the_run_goes_on(
    client: TestClient, history: History
) -> None:
    claim = history.claim(submit(history, iterations=900).id, "alice", LEASE)
    run = history.find_run(claim.run_id)
    for number in range(700):
        commit(history, claim, number, keep=False, record=False)
        if number == 599:
            before = charts_of(client, run)["loss"]["places"]
    after = charts_of(client, run)["loss"]["places"]
    assert len(after) <= 500
    assert set(before[:-1]) <= set(after)
    assert after[0] == 0
    assert after[-1] == 699
    part = charts_of(client, run, "&from=100&to=103")["loss"]["places"]
    assert part == [100, 101, 102, 103]


def test_a_retry_has_the_curve_of_the_run_that_it_goes_on_from(
    client: TestClient, history: History
) -> None:
    parent = tell(history, [[4.0], [3.0], [2.0]])
    child = submit(history, parent_id=parent.id, parent_iterations=2, iterations=5)
    claim = history.claim(child.id, "alice", LEASE)
    commit(history, claim, 2)
    loss = charts_of(client, child)["loss"]
    assert loss["places"] == [0, 1, 2]


def test_a_number_that_json_does_not_know_is_left_out(client: TestClient, history: History) -> None:
    run = tell(history, [[4.0], [float("inf")]])
    assert charts_of(client, run)["loss"]["lines"][0]["values"] == [4.0, None]


def test_a_wrong_part_is_refused() -> None:
    assert read_range(QueryParams("from=3&to=4")) == (3, 5)
    for query in ("from=x", "from=5&to=4", "from=-1"):
        with pytest.raises(InvalidValue):
            read_range(QueryParams(query))


def test_settings_that_differ_stand_first(history: History) -> None:
    run = submitted(history, RunConfig(iterations=7, learning_rate=0.5))
    found = settings(run)
    different = {one.name: (one.text, one.default) for one in found if one.differs}
    assert different["learning_rate"] == ("0.5", "0.001")
    assert different["iterations"] == ("7", "50")
    assert "seed" not in different
    assert [one.differs for one in found] == sorted((one.differs for one in found), reverse=True)


def test_only_what_is_possible_is_offered(history: History) -> None:
    run = submit(history)
    driven = replace(run, status=DRIVEN)
    wanted = {Action.PAUSE, Action.CANCEL, Action.PRIORITY}
    assert actions(run) == wanted | {Action.DELETE}
    assert actions(driven) == wanted
    pausing = replace(driven, request=Request.PAUSE)
    assert actions(pausing) == {Action.RESUME, Action.CANCEL, Action.PRIORITY}
    assert actions(replace(driven, request=Request.CANCEL)) == {Action.PRIORITY}
    assert actions(replace(run, status=RunStatus.FAILED)) == {Action.DELETE}


def test_the_time_left_follows_the_newest_iterations(history: History) -> None:
    claim = history.claim(submit(history).id, "alice", LEASE)
    run = replace(history.find_run(claim.run_id), iterations=1000, completed_iterations=40)
    compiled = replace(iteration_of(claim, 37), seconds=60.0)
    newest = [replace(iteration_of(claim, number), seconds=0.5) for number in (39, 38)]
    assert measured_seconds([*newest, compiled]) == 0.5
    assert measured_seconds([compiled]) is None
    assert time_left(run, 0.5) == "8 min 0 s"
    assert time_left(run, None) is None
    assert time_left(replace(run, status=RunStatus.PAUSED), 0.5) is None


def test_the_digest_of_a_history_is_made_once(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, digests = tell(history, [[4.0], [3.0]]), Digests(history)
    made = digests.of(run)
    monkeypatch.setattr(History, "iterations", None)
    assert digests.of(run) == made
    assert digests.of(replace(run, status=DRIVEN)) is None


def test_forms_change_the_run_and_lead_back(client: TestClient, history: History) -> None:
    run = submit(history)
    changes = [
        ("pause", {"reason": "lunch"}),
        ("resume", {}),
        ("priority", {"priority": "7"}),
        ("describe", {"name": "other", "note": "new", "tags": "a=1\r\n\r\nb=x=y\r\n"}),
        ("cancel", {}),
    ]
    for path, form in changes:
        answer = client.post(f"/runs/{run.id}/{path}", data=form)
        assert (answer.status_code, answer.headers.get("location")) == (303, f"/runs/{run.id}")
    found = history.find_run(run.id)
    assert (found.status, found.name, found.priority, found.note) == (
        RunStatus.CANCELLED,
        "other",
        7,
        "new",
    )
    assert history.tags(run.id) == {"a": "1", "b": "x=y"}
    assert any("lunch" in event.message for event in history.events(run.id))
    client.post(f"/runs/{run.id}/describe", data={})
    found = history.find_run(run.id)
    assert (found.name, found.note) == (None, None)
    assert history.tags(run.id) == {}


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("priority", {"priority": "much"}, 422),
        ("describe", {"tags": "a"}, 422),
        ("describe", {"tags": "a b=1"}, 422),
        ("describe", {"note": "<" * 2000, "name": "other", "tags": "a=1\r\nb=2"}, 422),
        ("pause", {"reason": "<" * 2000}, 422),
        ("cancel", {"reason": "<" * 2000}, 422),
        ("resume", {}, 409),
        ("retry", {"settings": "seed=x\r\nimages=5", "name": "other", "after": "1"}, 422),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence_beside_what_was_typed(
    client: TestClient, history: History, path: str, form: dict[str, str], status: int
) -> None:
    run = submit(history, note="old", tags={"kept": "yes"})
    answer = client.post(f"/runs/{run.id}/{path}", data=form)
    assert answer.status_code == status
    assert answer.text.count('class="problem" role="alert"') == 1
    for name, typed in form.items():
        assert typed.replace("\r\n", "\n") in texts_of(answer.text, name)
    is_run_page = f'<body data-address="/runs/{run.id}">' in answer.text
    assert is_run_page is (path != "cancel")
    assert history.find_run(run.id) == run
    assert history.tags(run.id) == {"kept": "yes"}


def test_a_refused_retry_is_still_to_be_paused(client: TestClient, history: History) -> None:
    run = submit(history)
    form = {"settings": "sede=1", "paused": "yes"}
    answer = client.post(f"/runs/{run.id}/retry", data=form)
    assert 'name="paused" value="yes" checked>' in answer.text


def test_a_run_is_deleted_after_it_was_confirmed(client: TestClient, history: History) -> None:
    run = submit(history, name="gone")
    assert run.submitter
    for verb in ("Cancel", "Delete"):
        question = client.get(f"/runs/{run.id}/{verb.lower()}").text
        assert f"{verb} gone?" in question
        assert f"submitted by <strong>{submitter_text(run)}</strong>" in question
    assert history.runs() == [run]
    answer = client.post(f"/runs/{run.id}/delete")
    assert answer.headers["location"] == "/runs"
    assert history.runs() == []


def test_a_retry_takes_other_settings(client: TestClient, history: History) -> None:
    run = submitted(history, RunConfig(iterations=7))
    form = {"settings": "learning-rate=0.5\r\n seed = 3 ", "name": "other", "paused": "yes"}
    answer = client.post(f"/runs/{run.id}/retry", data=form)
    assert answer.status_code == 422  # `seed ` is no setting
    assert "learning-rate=0.5" in answer.text
    form["settings"] = "learning-rate=0.5\r\nseed=3"
    answer = client.post(f"/runs/{run.id}/retry", data=form)
    new = history.find_run(answer.headers["location"].removeprefix("/runs/"))
    assert (new.name, new.status, new.parent_id) == ("other", RunStatus.PAUSED, run.id)
    assert (new.configuration["learning_rate"], new.configuration["seed"]) == (0.5, 3)


def test_a_retry_that_is_sent_twice_adds_one_run(client: TestClient, history: History) -> None:
    run = submitted(history, RunConfig(iterations=7))
    pages = [client.get(f"/runs/{run.id}").text for _ in range(2)]
    keys = [re.findall(r'name="key" value="(\w{32})"', page)[0] for page in pages]
    assert keys[0] != keys[1]
    places = [
        client.post(f"/runs/{run.id}/retry", data={"key": key}).headers["location"]
        for key in (keys[0], keys[0], keys[1])
    ]
    assert places[0] == places[1] != places[2]
    assert len(history.runs()) == 3


def test_a_mistake_in_a_retry_stays_in_the_form(client: TestClient, history: History) -> None:
    run = submitted(history, RunConfig(iterations=7))
    answer = client.post(
        f"/runs/{run.id}/retry", data={"settings": "learning_rate=<b>", "after": "3"}
    )
    assert answer.status_code == 422
    [told] = re.findall(r'role="alert">(.*?)</p>', answer.text)
    assert "learning_rate" in html.unescape(told)
    assert "learning_rate=&lt;b&gt;</textarea>" in answer.text
    assert len(history.runs()) == 1


def test_the_page_reads_no_network_file(client: TestClient, history: History) -> None:
    run = submitted(history, RunConfig(iterations=7))
    answer = client.post(f"/runs/{run.id}/retry", data={"settings": "network=/etc/passwd"})
    assert answer.status_code in {403, 422}
    assert 'role="alert"' in answer.text
    assert history.runs() == [run]


def test_files_are_those_of_the_command_line(client: TestClient, history: History) -> None:
    run = tell(history, [[4.0], [3.0]])
    table = client.get(f"/runs/{run.id}/download.csv")
    assert table.text.splitlines()[0].startswith("run,run_name,iteration,images,loss,")
    assert table.headers["content-disposition"] == f'attachment; filename="{run.id}.csv"'
    assert json.loads(client.get(f"/runs/{run.id}/download.json").text)["losses"] == [4.0, 3.0]
    assert client.get(f"/runs/{run.id}/download.parquet").content[:4] == b"PAR1"
    kept = client.get(f"/runs/{run.id}/download.safetensors?after=0")
    assert kept.content == b"initial"
    assert client.get(f"/runs/{run.id}/download.safetensors?after=9").status_code == 404


def test_read_only_shows_no_buttons(history: History) -> None:
    run = submit(history)
    with client_of(history, read_only=True) as client:
        text = client.get(f"/runs/{run.id}").text
        assert "formaction" not in text
        assert 'method="post"' not in text
        assert client.post(f"/runs/{run.id}/pause").status_code == 403
        for verb in ("cancel", "delete"):
            question = client.get(f"/runs/{run.id}/{verb}").text
            assert f"<code>tapeworks {verb} {run.id}</code>" in question
            assert 'method="post"' not in question


def test_what_others_wrote_is_no_markup(client: TestClient, history: History) -> None:
    run = submit(history, name="x")
    claim = history.claim(run.id, "<i>owner</i>", LEASE)
    history.add_event(claim, "odd", "<script>alert(1)</script>\x1b[31m", worker="<b>")
    history.finish(claim, RunStatus.FAILED, "<img src=x>\x1b]0;title\x07")
    text = client.get(f"/runs/{run.id}").text
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "\x1b" not in text
    assert "\\x1b[31m" in text


def test_a_list_that_is_cut_off_says_of_how_many(
    client: TestClient, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tell(history, [[4.0]] * 12)
    whole = client.get(f"/runs/{run.id}").text
    assert "Iterations: the newest 10 of 12" in whole
    assert "Checkpoints: 13<" in whole
    monkeypatch.setattr("tapeworks.web.pages.run.MOST_CHECKPOINTS", 4)
    short = client.get(f"/runs/{run.id}?events=1").text
    assert "Checkpoints: the newest 4 of 13" in short
    assert re.search(r"Events: the newest 1 of \d+", short)


def test_held_out_accuracy_comes_first_and_that_of_training_images_is_called_so(
    client: TestClient, history: History
) -> None:
    claim = history.claim(submit(history).id, "alice", LEASE)
    commit(history, claim, 0)
    before = re.findall("<dt>([^<]+)</dt>", client.get(f"/runs/{claim.run_id}").text)
    assert before[1] == "training accuracy, 20 images of iteration 0"
    history.record_evaluation(claim, replace(evaluated(1, 3.0, 0.75), run_id=claim.run_id))
    title = charts_of(client, history.find_run(claim.run_id))["loss"]["title"]
    assert title == "Loss, sum over 20 images; held-out loss scaled to as many"
    after = client.get(f"/runs/{claim.run_id}").text
    held_out = "<dt>held-out accuracy, after 1 iteration</dt><dd>75.0%</dd>"
    assert 0 < after.index(held_out) < after.index("<dt>loss, ")
    assert "<dt>accuracy" not in after
