"""The views that people query say what was stored, on both databases, to the last bit."""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tapeworks.model.config import RunConfig
from tapeworks.storage.history import History
from tapeworks.storage.packing import pack, unpack
from tapeworks.storage.queries.views import NAMES, SETTINGS
from tapeworks.storage.records import EvaluationRecord, ImageValues
from tests.support.made_up import commit, commit_of, iteration_of, submit_and_claim

#: Zero, the smallest and the largest float32, and what lies between.
LOSSES = [0.0, 1e-45, 1.1754943e-38, 0.1, 1.0, 3.4028235e38, 2.5e-7, 16777216.0] + [0.3] * 12
NORMS = [1 / 3, 0.0, 1e-3, 1e3, 7e-20, 9e20, 2.0, 1.5] + [1e-9] * 12
#: A query that people are given.
PROOF = Path(__file__).parents[2] / "docs" / "exactly_once.sql"

CLASSES = [3, 6, 250, 9, 4]

#: Every third image of a data set, from the 70,000th on.
ROWS = array("i", range(70_000, 70_120, 3)).tobytes()


@pytest.fixture
def history(either_history: History) -> History:
    return either_history


def rows(history: History, query: str) -> list[dict[str, Any]]:
    with history.database.read() as connection:
        return [dict(row) for row in connection.execute(text(query)).mappings()]


@pytest.fixture
def run_id(history: History) -> str:
    """A run whose first iteration is of images in their order, the second of others."""
    config = RunConfig(images=40, classes=tuple(CLASSES), iterations=5, kernel_sizes=(3, 5))
    run = history.create_run(
        name="seen",
        configuration=config.model_dump(mode="json"),
        iterations=5,
        parameters=b"initial",
        parameters_digest=hashlib.sha256(b"initial").hexdigest(),
        tags={"place": "here", "kind": "test"},
        note="remember",
        priority=3,
    )
    claim = history.claim(run.id, "alice", 60.0)
    history.set_images(claim, "images", bytes(place % 5 for place in range(40)), ROWS)
    values = ImageValues(
        losses=array("f", LOSSES).tobytes(),
        gradient_norms=array("f", NORMS).tobytes(),
        predictions=bytes(place % 3 for place in range(20)),
        image_numbers=None,
    )
    for number in range(2):
        record = replace(iteration_of(claim, number), seconds=0.5)
        made = replace(commit_of(record), image_values=values, parameters=b"12345")
        history.commit(claim, [replace(made, fingerprint="f")])
        values = replace(values, image_numbers=array("i", range(39, 19, -1)).tobytes())
    evaluation = EvaluationRecord(
        run_id=run.id, completed_iterations=2, images=4, loss=1.5, accuracy=0.75, confusion=[[1]]
    )
    history.record_evaluation(claim, evaluation)
    return run.id


def test_there_are_no_other_views(history: History) -> None:
    for name in NAMES:
        assert rows(history, f"SELECT * FROM {name}") == []


def test_every_setting_of_a_run_is_a_column() -> None:
    assert set(SETTINGS) == set(RunConfig.model_fields) - {"iterations", "network_facts"}


def test_runs(history: History, run_id: str) -> None:
    [row] = rows(history, "SELECT * FROM runs")
    run = history.find_run(run_id)
    assert (row["id"], row["name"], row["status"], row["priority"]) == (
        run_id,
        "seen",
        "running",
        3,
    )
    assert (row["completed_iterations"], row["final_loss"]) == (2, run.final_loss)
    assert (row["test_loss"], row["test_accuracy"]) == (1.5, 0.75)
    assert (row["classes"], row["kernel_sizes"]) == ("3,6,250,9,4", "3,5")
    assert (row["images"], row["learning_rate"], row["dataset"]) == (40, 0.001, "digits")
    assert not row["allow_mixed_workers"]
    assert (row["note"], row["shards"]) == ("remember", None)
    for tag in ("place", "here", "kind", "test"):
        assert f'"{tag}"' in str(row["tags"]).replace("'", '"')


def test_iterations(history: History, run_id: str) -> None:
    found = rows(history, "SELECT * FROM iterations ORDER BY iteration")
    for row, record in zip(found, history.iterations(run_id), strict=True):
        values = asdict(record)
        started_at = values.pop("started_at")
        assert {name: row[name] for name in values} == values
        assert str(row["started_at"])[:26] == f"{started_at:%Y-%m-%d %H:%M:%S.%f}"
        assert (row["mean_loss"], row["images_per_second"]) == (record.loss / 20, 40.0)


def test_images(history: History, run_id: str) -> None:
    [bare] = rows(history, "SELECT row FROM images WHERE row = 70051 AND iteration = 0")
    assert bare == {"row": 70_051}
    found = rows(history, "SELECT * FROM images ORDER BY iteration, place")
    assert [(row["run_id"], row["iteration"]) for row in found] == [
        (run_id, iteration) for iteration in range(2) for _ in range(20)
    ]
    first, second = found[:20], found[20:]
    assert [row["image"] for row in first] == list(range(20))
    assert [row["image"] for row in second] == list(range(39, 19, -1))
    for part in (first, second):
        assert [row["place"] for row in part] == list(range(20))
        assert [row["loss"] for row in part] == array("f", LOSSES).tolist()
        assert [row["gradient_norm"] for row in part] == array("f", NORMS).tolist()
        assert [row["row"] for row in part] == [3 * row["image"] + 70_000 for row in part]
        assert [row["label"] for row in part] == [CLASSES[row["image"] % 5] for row in part]
        assert [row["predicted"] for row in part] == [CLASSES[place % 3] for place in range(20)]


def test_an_iteration_that_is_not_recorded_has_a_ledger_without_times_and_no_images(
    history: History,
) -> None:
    claim = submit_and_claim(history)
    commit(history, claim, 0)
    commit(history, claim, 1, record=False)
    found = rows(history, "SELECT * FROM ledger WHERE iteration = 1 ORDER BY first_image")
    for row, record in zip(found, history.ledger(claim.run_id, 1), strict=True):
        assert row == asdict(record) | {"network_digest": None}
        assert (row["seconds"], row["received_at"]) == (None, None)
    assert [row["first_image"] for row in found] == [0, 8, 16]
    images = rows(history, "SELECT iteration, count(*) AS images FROM images GROUP BY iteration")
    assert images == [{"iteration": 0, "images": 20}]
    assert len(rows(history, "SELECT * FROM iterations")) == 2
    proof = [tuple(row.values())[1:] for row in rows(history, PROOF.read_text(encoding="utf-8"))]
    assert proof == [(place, 20, 1, 1, "worker-1", 1, 20) for place in range(2)]


def test_ledger_and_workers(history: History, run_id: str) -> None:
    found = rows(history, "SELECT * FROM ledger ORDER BY iteration, first_image")
    for row, record in zip(found, history.ledger(run_id), strict=True):
        values = asdict(record)
        received_at = values.pop("received_at")
        assert {name: row[name] for name in values} == values
        assert str(row["received_at"])[:26] == f"{received_at:%Y-%m-%d %H:%M:%S.%f}"
    [worker] = rows(history, "SELECT * FROM workers")
    assert (worker["worker"], worker["images"], worker["answers"]) == ("worker-1", 40, 6)
    assert worker["images_per_second"] == pytest.approx(40 / 0.6)


def test_what_else_there_is(history: History, run_id: str) -> None:
    kinds = [row["kind"] for row in rows(history, "SELECT * FROM events ORDER BY at")]
    assert kinds == ["submitted", "claimed"]
    [evaluation] = rows(history, "SELECT * FROM evaluations")
    assert (evaluation["run_id"], evaluation["accuracy"]) == (run_id, 0.75)
    sizes = rows(history, "SELECT * FROM checkpoints ORDER BY completed_iterations")
    assert [(row["completed_iterations"], row["bytes"]) for row in sizes] == [
        (0, 7),
        (1, 5),
        (2, 5),
    ]
    tags = rows(history, "SELECT key, value FROM tags ORDER BY key")
    assert tags == [{"key": "kind", "value": "test"}, {"key": "place", "value": "here"}]


@pytest.mark.parametrize("largest", [0, 1, 2, 3, 4, 15, 16, 255])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 50])
def test_predictions_take_few_bits_and_come_back(largest: int, count: int) -> None:
    predictions = bytes((largest * place) % (largest + 1) for place in range(count))
    content = pack(predictions)
    assert unpack(content, count) == predictions
    width = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 15: 4}.get(largest, 8)
    assert count < 2 or len(content) == 1 + -(-count * width // 8)
