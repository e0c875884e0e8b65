"""A run's images: which are shown, what is said of them, and their pictures."""

from __future__ import annotations

import io
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from starlette.testclient import TestClient

from tapeworks.model import datasets
from tapeworks.model.config import RunConfig, record
from tapeworks.model.datasets.source import Split
from tapeworks.plotting.hardest import pixels_of
from tapeworks.plotting.heat_map import image_course
from tapeworks.plotting.image_losses import By
from tapeworks.scheduler.driving.driver import images_digest
from tapeworks.storage.glances import find_recorded
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord
from tapeworks.web.pages import pictures
from tapeworks.web.pages.images import Sheet, hard_images, neighbours
from tapeworks.web.pages.maps import COLOURS, colour
from tapeworks.web.pages.pictures import Pictures
from tests.support.made_up import LEASE, commit, submit
from tests.support.stories import tell


def run_of(history: History, iterations: int = 2, **settings: Any) -> RunRecord:
    """A run with as many images as `commit` makes losses of."""
    config = record(RunConfig(images=20, iterations=3, **settings))
    claim = history.claim(submit(history, configuration=config, name="mine").id, "alice", LEASE)
    digest = images_digest(datasets.load(RunConfig(images=20)))
    history.set_images(claim, digest, bytes(place % 2 for place in range(20)))
    for iteration in range(iterations):
        commit(history, claim, iteration)
    return history.find_run(claim.run_id)


def test_the_hardest_of_all_or_of_an_iteration_come_first(history: History) -> None:
    losses, numbers = [[0.5, 2.0, 1.0], [4.0, 3.0, 0.25]], [[7, 5, 9], [0, 7, 1]]
    run = tell(history, losses, numbers=numbers, settings={"images": 10})
    found, known = hard_images(history, run, Sheet(limit=5))
    assert known == 5
    assert [(one.image, one.label, one.predicted, one.loss) for one in found] == [
        (0, 3, 3, 4.0),
        (7, 3, 6, 3.0),
        (5, 3, 6, 2.0),
        (9, 3, 3, 1.0),
        (1, 3, 3, 0.25),
    ]
    in_first, _ = hard_images(history, run, Sheet(iteration=0))
    assert [one.image for one in in_first] == [5, 9, 7]
    by_mean, _ = hard_images(history, run, Sheet(by=By.MEAN))
    assert [(one.image, one.mean_loss) for one in by_mean][:3] == [(0, 4.0), (5, 2.0), (7, 1.75)]


def test_there_is_a_way_to_the_iterations_beside() -> None:
    assert neighbours([0, 10, 20], 10) == [("Earlier", 0), ("Later", 20)]
    assert neighbours([0, 10], 10) == [("Earlier", 0)]
    assert neighbours([], None) == []


def test_the_course_of_an_image_has_the_iterations_that_computed_it(history: History) -> None:
    run = run_of(history, 3)
    course = image_course(history, run, 7).losses
    assert [one.iteration for one in course] == [0, 1, 2]
    assert [one.loss for one in course] == pytest.approx([1.0, 2.0, 3.0])
    assert [one.predicted for one in course] == [b"\1"] * 3
    assert image_course(history, run, 20).losses == []
    newest = image_course(history, run, 7, 2)
    assert ([one.iteration for one in newest.losses], newest.recorded) == ([0, 2], 3)


def test_colours_go_by_the_logarithm() -> None:
    shown = colour(np.array([[1.0, 10.0, 100.0, np.nan]], np.float32))
    assert_array_equal(shown[0, [0, 2], :3], COLOURS[[0, -1]])
    assert_array_equal(shown[0, 1, :3], COLOURS[2])
    assert_array_equal(shown[..., 3], [[255, 255, 255, 0]])
    assert colour(np.full((1, 1), np.nan, np.float32))[0, 0, 3] == 0
    assert_array_equal(colour(np.zeros((1, 2), np.float32))[..., 3], [[255, 255]])


def test_images_are_shown_where_their_data_set_can_be_read(
    client: TestClient, history: History
) -> None:
    run = run_of(history)
    text = client.get(f"/runs/{run.id}/images").text
    assert "Hardest by their last known loss" in text
    assert "Hardest in iteration 0" in client.get(f"/runs/{run.id}/images?iteration=0").text
    assert re.findall(r"Image (\d+)</span>", text)[:3] == ["19", "18", "17"]
    assert "not to be seen here" not in text
    answer = client.get(f"/runs/{run.id}/images/19.png")
    assert answer.headers["content-type"] == "image/png"
    shown = np.asarray(Image.open(io.BytesIO(answer.content)))
    expected = datasets.load(RunConfig(images=20)).training.images[19]
    assert_array_equal(shown, pixels_of(expected))
    assert client.get(f"/runs/{run.id}/images/20.png").status_code == 404


def test_why_images_are_not_shown_is_told(client: TestClient, history: History) -> None:
    run = run_of(history, dataset="/nowhere/<b>.npz")
    text = client.get(f"/runs/{run.id}/images").text
    assert "not to be seen here: " in text
    assert "/nowhere/&lt;b&gt;.npz" in text
    assert "<b>" not in text
    assert ".png" not in text.partition("All images over")[0]
    assert client.get(f"/runs/{run.id}/images/19.png").status_code == 404


def test_a_data_set_that_cannot_be_read_is_looked_for_again_later(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, shown = run_of(history, dataset="/nowhere.npz"), Pictures()
    assert shown.find_problem(run)
    monkeypatch.setattr(pictures, "read_pictures", lambda _: datasets.load(RunConfig(images=20)))
    assert shown.find_problem(run)
    monkeypatch.setattr(pictures, "AGAIN_SECONDS", 0.0)
    assert shown.find_problem(run) is None


def test_a_page_does_not_wait_until_a_data_set_is_read(
    client: TestClient, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, may_end = run_of(history), threading.Event()

    def read(_: RunRecord) -> Split:
        assert may_end.wait(60)
        return datasets.load(RunConfig(images=20))

    monkeypatch.setattr(pictures, "read_pictures", read)
    text = client.get(f"/runs/{run.id}/images").text
    assert f"/runs/{run.id}/images/19.png" in text
    with ThreadPoolExecutor(1) as aside:
        asked = aside.submit(client.get, f"/runs/{run.id}/images/19.png")
        may_end.set()
        assert asked.result().status_code == 200


def test_one_image_has_its_loss_over_the_iterations(client: TestClient, history: History) -> None:
    run = run_of(history)
    text = client.get(f"/runs/{run.id}/images/7").text
    assert "Its class is 6. It is row 7 of the data set." in text
    assert '<polyline points="0.0,23.0 100.0,1.0"/>' in text
    assert '<path d="M0.0,23.0h0"/><path d="M100.0,1.0h0"/>' in text
    assert "All 2 iterations" in text
    assert client.get(f"/runs/{run.id}/images/20").status_code == 404


def test_the_heat_map_has_a_column_for_each_iteration(client: TestClient, history: History) -> None:
    run = run_of(history)
    answer = client.get(f"/runs/{run.id}/heat-map.png")
    assert Image.open(io.BytesIO(answer.content)).size == (2, 20)
    answer = client.get(f"/runs/{run.id}/heat-map-scale.svg")
    assert answer.headers["content-type"].startswith("image/svg+xml")
    told = re.findall(r"<text[^>]*>([^<]+)</text>", answer.text)
    found = [history.image_values(run.id, iteration).losses for iteration in (0, 1)]
    losses = np.frombuffer(b"".join(found), "<f4").tolist()
    low, high = max(min(losses), max(losses) / 1e6), max(losses)
    assert told == [
        *(f"{low ** (1 - share) * high**share:.2g}" for share in (0, 0.25, 0.5, 0.75, 1)),
        "loss",
    ]


def test_a_run_without_iterations_says_so(client: TestClient, history: History) -> None:
    run = submit(history, configuration=record(RunConfig()))
    assert "No iteration is recorded in full yet" in client.get(f"/runs/{run.id}/images").text
    for name in ("heat-map.png", "heat-map-scale.svg"):
        assert client.get(f"/runs/{run.id}/{name}").status_code == 404
    assert client.get(f"/runs/{run.id}/images/0").status_code == 404
    assert client.get("/runs/nobody/images").status_code == 404
    for path in ("images?iteration=5", "iterations/5"):
        absent = client.get(f"/runs/{run.id}/{path}")
        assert (absent.status_code, "has no iteration 5; it is" in absent.text) == (404, True)
    assert client.get(f"/runs/{run.id}/images?iteration=x").status_code == 422


def test_neighbours_are_the_nearest_iterations_that_were_recorded_in_full(
    client: TestClient, history: History
) -> None:
    claim = history.claim(submit(history, iterations=7).id, "alice", LEASE)
    for number in range(7):
        commit(history, claim, number, record=number in {0, 3, 5})
    images = f"/runs/{claim.run_id}/images"
    recorded = [find_recorded(history.database, claim.run_id, number) for number in (0, 4, 5, 6)]
    assert recorded == [[0, 3], [3, 5], [3, 5], [5]]
    newest = client.get(images).text
    assert "?iteration=3" in newest
    assert "?iteration=0" not in newest
    assert "in full: 3 and 5" in client.get(f"{images}?iteration=4").text


def test_each_data_set_is_read_once_and_one_at_a_time(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [run_of(history, seed=seed) for seed in range(4)]
    data, at_work, reads = datasets.load(RunConfig(images=20)), threading.Lock(), list[str]()

    def read(run: RunRecord) -> Split:
        assert at_work.acquire(blocking=False), "one at a time"
        reads.append(run.id)
        at_work.release()
        return data

    monkeypatch.setattr(pictures, "read_pictures", read)
    monkeypatch.setattr(pictures, "_key", lambda run: run.id)
    monkeypatch.setattr(pictures, "WAIT_SECONDS", 60.0)
    shown = Pictures()
    for _ in range(3):  # as pages that are polled
        assert [shown.find_problem(run) for run in runs] == [None] * 4
        assert shown.read_image(runs[-1], 0)
    assert sorted(reads) == sorted(run.id for run in runs)


def test_a_page_says_that_images_are_being_read_and_pictures_do_not_wait_for_ever(
    client: TestClient, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, may_end = run_of(history), threading.Event()
    monkeypatch.setattr(pictures, "read_pictures", lambda _: may_end.wait(60))
    monkeypatch.setattr(pictures, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(pictures, "PICTURE_SECONDS", 0.01)
    try:
        assert "They are being read" in client.get(f"/runs/{run.id}/images").text
        answer = client.get(f"/runs/{run.id}/images/19.png")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    finally:
        may_end.set()


def test_a_sheet_has_the_order_and_the_number_that_the_url_asks_for(
    client: TestClient, history: History
) -> None:
    path = f"/runs/{run_of(history).id}/images"
    text = client.get(f"{path}?by=mean&limit=3").text
    assert "Hardest by their mean loss: the first 3 of 20" in text
    assert len(re.findall("mean loss [0-9.]+ of 2 iterations", text)) == 3
    assert client.get(f"{path}?by=mean&iteration=1").status_code == 422
    assert "Expected last or mean. Received: by=first" in client.get(f"{path}?by=first").text
