"""Runs of networks that predict nothing: every command works, and a missing accuracy is missing."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import parquet

import tapeworks
from tapeworks.storage.errors import NetworkNotFound
from tapeworks.storage.history import History
from tests.support.calls import Call
from tests.support.desk import told_in_one_sentence
from tests.support.stories import evaluated, tell

LOSSES = [[3.0, 1.0], [2.0, 0.5], [0.25, 1.0]]

SOURCE = "def losses(parameters, images, labels): ..."


@pytest.fixture(autouse=True)
def history(places: Path) -> Iterator[History]:
    """A run that predicts nothing, and one of the built-in network."""
    history = History.open(places / "runs.db")
    evaluations = [evaluated(2, 1.5, None), evaluated(3, 2.5, None)]
    tell(
        history,
        LOSSES,
        name="silent",
        network_source=SOURCE,
        predicts=False,
        evaluations=evaluations,
    )
    tell(history, LOSSES, name="usual", evaluations=[evaluated(3, 2.0, 0.75)])
    yield history
    history.database.close()


def test_it_is_shown_by_its_losses(call: Call) -> None:
    shown = call("show silent").out
    assert hashlib.sha256(SOURCE.encode()).hexdigest() in shown
    assert "2.5000 of 4 images after 3 iterations" in shown
    assert call("show silent --json").values["evaluations"][0]["accuracy"] is None
    assert call("compare silent usual").code == 0
    assert call("watch silent").code == 0


def test_its_best_parameters_are_those_of_a_loss(call: Call) -> None:
    export = "export silent --to safetensors --output best.safetensors --best"
    assert call(f"{export} loss").code == 0
    assert Path("best.safetensors").read_bytes() == repr(LOSSES[:2]).encode()
    refused = call(f"{export} accuracy")
    told_in_one_sentence(refused, 2, "has no accuracy: its network predicts nothing")


def test_its_history_is_exported_with_empty_accuracies(call: Call) -> None:
    rows = list(csv.DictReader(io.StringIO(call("export silent").out)))
    assert [row["accuracy"] for row in rows] == [""] * 3
    exported = call("export silent --to json").values["history"]
    assert {row["accuracy"] for row in exported} == {None}
    for name, expected in (("silent", [None] * 3), ("usual", [0.5] * 3)):
        assert call(f"export {name} --to parquet --output {name}.parquet").code == 0
        table = parquet.read_table(f"{name}.parquet")
        assert (str(table.schema.field("accuracy").type), table["accuracy"].to_pylist()) == (
            "double",
            expected,
        )


def test_its_accuracy_is_not_drawn_and_all_else_is(call: Call) -> None:
    refused = call("plot silent --kind accuracy")
    told_in_one_sentence(refused, 2, "there is no accuracy to draw")
    for kind in ("loss", "gradient-norm", "images", "timeline"):
        assert call(f"plot silent --kind {kind}").code == 0
    both = call("plot silent usual --kind accuracy --json").values
    assert [line["label"] for line in both["lines"]] == ["usual"]


def test_a_program_reads_missing_values() -> None:
    with tapeworks.connect() as client:
        run = client.run("silent")
        images = run.images(1)
        assert images.columns.tolist() == ["image", "loss", "gradient_norm", "predicted"]
        assert images["loss"].tolist() == LOSSES[1]
        for frame, column in (
            (images, "gradient_norm"),
            (images, "predicted"),
            (run.history(), "accuracy"),
            (run.evaluations(), "accuracy"),
        ):
            assert frame[column].isna().all()
            assert frame[column].dtype.kind in "fu"
        usual = client.run("usual")
        assert usual.images(1)["predicted"].tolist() == [0, 1]
        assert usual.history()["accuracy"].tolist() == [0.5] * 3


def test_its_source_goes_with_its_last_run(history: History, call: Call) -> None:
    run = history.find_run("silent")
    assert "network" not in call("gc --older-than 2026-01-01").err
    assert call("delete silent --yes").code == 0
    assert "Would remove 0 checkpoints" in call("gc --older-than 2026-01-01 --dry-run").err
    assert "; 1 network that no run is of" in call("gc --older-than 2026-01-01").err
    assert run.network_digest
    with pytest.raises(NetworkNotFound):
        history.network_source(run.network_digest)
