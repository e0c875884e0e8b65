"""The form of a new run: its inputs, what it submits, and what it says of mistakes."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tapeworks.cli.options import FIELDS
from tapeworks.model.config import RunConfig
from tapeworks.storage.history import History
from tapeworks.storage.records import RunStatus
from tapeworks.web.pages.run_form import fields, mentioned
from tests.support.made_up import submit
from tests.support.web import client_of


def key_of(text: str) -> str:
    """Return the key that a page's form has."""
    keys: list[str] = re.findall(r'name="key" value="(\w{32})"', text)
    assert len(keys) == 1
    return keys[0]


def test_there_is_an_input_for_every_setting_but_a_network(client: TestClient) -> None:
    text = client.get("/new").text
    named = re.findall(r'<(?:input|select|textarea)[^>]* name="(\w+)"', text)
    described = ["name", "priority", "note", "tags", "vary", "paused"]
    assert named == ["key", *described] + [name for name in FIELDS if name != "network"]


def test_an_input_is_as_the_schema_has_it() -> None:
    found = {one.name: one for one in fields()}
    assert found["optimizer"].choices == ("sgd", "momentum", "adam")
    assert found["allow_mixed_workers"].is_truth
    assert found["images_per_iteration"].keyboard == "numeric"
    assert found["learning_rate"].keyboard == "decimal"
    assert found["kernel_sizes"].default == "3,5,7"
    assert found["seed"].description == RunConfig.model_fields["seed"].description


def test_an_empty_form_submits_a_run_of_defaults(client: TestClient, history: History) -> None:
    answer = client.post("/new", data={"name": "", "images": " "})
    [run] = history.runs()
    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run.id}")
    assert run.status is RunStatus.QUEUED
    assert run.configuration["images"] == RunConfig().images


def test_what_is_typed_is_submitted(client: TestClient, history: History) -> None:
    typed = {
        "name": "mine",
        "tags": "a=b\r\n\r\nc=<d>",
        "note": "remember",
        "priority": "7",
        "paused": "true",
        "iterations": "3",
        "optimizer": "adam",
        "kernel_sizes": "3,5",
        "allow_mixed_workers": "true",
    }
    assert client.post("/new", data=typed).status_code == 303
    [run] = history.runs()
    assert (run.name, run.note, run.priority) == ("mine", "remember", 7)
    assert (run.status, run.iterations) == (RunStatus.PAUSED, 3)
    assert history.tags(run.id) == {"a": "b", "c": "<d>"}
    assert run.configuration["optimizer"] == "adam"
    assert run.configuration["kernel_sizes"] == [3, 5]
    assert run.configuration["allow_mixed_workers"] is True


def test_a_grid_is_submitted_whole_or_not_at_all(client: TestClient, history: History) -> None:
    grid = "learning_rate=0.1,0.2\nkernel_sizes=3,5;7"
    answer = client.post("/new", data={"name": "g", "vary": grid})
    assert answer.status_code == 303
    submit(history, name="another")
    shown = client.get(answer.headers["location"]).text
    assert re.findall(r'title="[^"]+">(g-[^<]+)</a>', shown) == ["g-1", "g-2", "g-3", "g-4"]
    assert '<td class="right">0.1</td><td>3,5</td>' in shown
    assert client.post("/new", data={"vary": "seed=1,-1"}).status_code == 422
    assert len(history.runs()) == 5
    as_shown = {"optimizer": "sgd", "vary": "optimizer=sgd,adam"}
    assert client.post("/new", data=as_shown).status_code == 303, "a menu is always sent"


def test_a_form_that_is_sent_twice_adds_nothing(client: TestClient, history: History) -> None:
    keys = {key_of(client.get("/new").text) for _ in range(2)}
    assert len(keys) == 2
    form = {"key": keys.pop(), "vary": "seed=1,2"}
    first, again = (client.post("/new", data=form).headers["location"] for _ in range(2))
    assert first == again
    assert len(history.runs()) == 2
    client.post("/new", data=form | {"vary": "seed=1,3"})
    assert len(history.runs()) == 4
    client.post("/new", data={"key": keys.pop(), "vary": "seed=1,2"})
    assert len(history.runs()) == 6


@pytest.mark.parametrize(
    ("typed", "sentence", "marked"),
    [
        ({"images": "-1"}, "images: expected 1 or more", "images"),
        ({"learning_rate": "fast"}, "Received: learning_rate=fast.", "learning_rate"),
        ({"evaluate_every": "5"}, "An evaluation needs held-out images", "test_images"),
        ({"dataset": "cats"}, "There is no data set named 'cats'", None),
        ({"dataset": "mine.npz"}, "Expected an absolute path", "dataset"),
        ({"images": "5000000"}, "digits has 364 images", "images"),
        ({"name": "<b>"}, "Expected a name of 1 to 80 letters", "name"),
        ({"tags": "a"}, "Expected tag NAME=VALUE", None),
        ({"priority": "high"}, "Received: priority=high", "priority"),
        ({"vary": "sede=1,2"}, "There is no setting named 'sede'. Did you mean seed?", None),
        ({"seed": "3", "vary": "seed=1,2"}, "seed=3 and to vary seed=1,2; leave one out", "seed"),
        ({"note": "a\0"}, "Received", "note"),
    ],
)
def test_a_mistake_is_told_beside_its_input_and_what_was_typed_stays(
    client: TestClient, history: History, typed: dict[str, str], sentence: str, marked: str | None
) -> None:
    answer = client.post("/new", data=typed | {"filters": "4", "schedule": "cosine"})
    assert answer.status_code == 422
    [told] = re.findall(r'role="alert" id="wrong">(.*?)</p>', answer.text)
    assert sentence in html.unescape(told)
    invalid = re.findall(r'name="(\w+)"[^>]*aria-invalid="true"', answer.text)
    assert marked in invalid if marked else not invalid
    assert 'name="filters" value="4"' in answer.text
    assert '<option value="cosine" selected>' in answer.text
    assert history.runs() == []


def test_boxes_of_a_refused_form_can_be_sent_as_they_stand(
    client: TestClient, history: History
) -> None:
    typed = {"images": "99999", "tags": "a=1\r\nb=2", "vary": "seed=2,3\r\nfilters=4"}
    refused = client.post("/new", data=typed).text
    boxes = re.findall(r'<textarea[^>]* name="(\w+)"[^>]*>\n(.*?)</textarea>', refused, re.DOTALL)
    assert dict(boxes) == {"tags": "a=1\nb=2", "vary": "seed=2,3\nfilters=4"}
    client.post("/new", data=typed | dict(boxes) | {"images": "9"})
    assert [history.tags(run.id) for run in history.runs()] == [{"a": "1", "b": "2"}] * 2


def test_no_network_is_read_from_the_server_s_disk(
    client: TestClient, history: History, tmp_path: Path
) -> None:
    file = tmp_path / "network.py"
    file.write_text("raise RuntimeError('it was run')\n")
    for typed in ({"network": str(file)}, {"vary": f"network={file}"}):
        answer = client.post("/new", data=typed)
        assert answer.status_code == 422
        assert "not taken over HTTP" in answer.text
    assert history.runs() == []


def test_what_is_no_input_is_refused(client: TestClient, history: History) -> None:
    for answer in (client.get("/new?imagess=7"), client.post("/new", data={"imagess": "7"})):
        assert answer.status_code == 422
        assert "Expected an input of the form. Received: imagess" in answer.text
    large = {"image_side": "400", "kernel_sizes": "1", "microbatch_size": "1"}
    answer = client.post("/new", data=large | {"vary": "seed=" + ",".join(map(str, range(300)))})
    assert "submit fewer at a time" in answer.text
    assert history.runs() == []


def test_a_link_fills_the_form(client: TestClient) -> None:
    text = client.get("/new?images=7&optimizer=adam&note=%3Cb%3E").text
    assert 'name="images" value="7"' in text
    assert '<option value="adam" selected>' in text
    assert 'value="&lt;b&gt;"' in text


def test_a_sentence_is_about_the_settings_that_it_names() -> None:
    assert mentioned("images: too few. Received: images=0.") == {"images"}
    told = "The warm-up must end. Received: warmup_iterations=9 iterations=8"
    assert mentioned(told) == {"warmup_iterations", "iterations"}


def test_where_nothing_may_be_changed_there_is_no_form(history: History) -> None:
    with client_of(history, read_only=True) as client:
        assert client.get("/new").status_code == 404
        assert client.post("/new").status_code == 403
        assert "/new" not in client.get("/runs").text
