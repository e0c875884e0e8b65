"""The files of `export`: exact, whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

import tapeworks
from tapeworks.model import parameters
from tapeworks.model.config import RunConfig
from tapeworks.storage.history import History
from tests.support.calls import Call


def test_exported_csv_has_a_row_per_iteration_and_exact_numbers(
    trained: dict[str, Any], call: Call
) -> None:
    assert call("export first --to csv --output history.csv").code == 0
    rows = list(csv.DictReader(io.StringIO(Path("history.csv").read_text())))
    assert [int(row["iteration"]) for row in rows] == [0, 1, 2, 3, 4]
    assert [float(row["loss"]) for row in rows] == trained["losses"]
    assert rows[-1]["parameters_digest"] == trained["parameters_digest"]
    assert call("export first").out == Path("history.csv").read_text()


def test_exported_json_has_the_run_and_its_iterations(trained: dict[str, Any], call: Call) -> None:
    values = call("export first --to json").values
    assert {name: values[name] for name in trained} == trained
    assert [record["loss"] for record in values["history"]] == trained["losses"]
    assert call("export first --to json --output it.json").code == 0
    assert json.loads(Path("it.json").read_text()) == values


def test_exported_parameters_are_those_of_the_digest_also_of_earlier_iterations(
    trained: dict[str, Any], call: Call, found: History
) -> None:
    assert call("export first --to safetensors --output last.safetensors").code == 0
    payload = Path("last.safetensors").read_bytes()
    assert parameters.digest(payload) == trained["parameters_digest"]
    assert {name: array.shape for name, array in parameters.from_bytes(payload).items()} == {
        "conv_1": (5, 3, 3),
        "conv_2": (5, 5, 5),
        "conv_3": (5, 7, 7),
        "dense_1": (2, 5, 15, 15),
    }
    for after, record in enumerate(found.iterations(trained["id"]), start=1):
        line = f"export first --to safetensors --after {after} --output early.safetensors"
        assert call(line).code == 0
        early = Path("early.safetensors").read_bytes()
        assert parameters.digest(early) == record.parameters_digest
    assert call("export first --to safetensors --after 0 --output zero.safetensors").code == 0
    initial = parameters.initial(RunConfig().built_in, RunConfig().seed)
    for name, array in parameters.from_bytes(Path("zero.safetensors").read_bytes()).items():
        np.testing.assert_array_equal(array, initial[name])


def test_exported_parquet_has_the_types_of_the_history(
    trained: dict[str, Any], call: Call, found: History
) -> None:
    assert call("export first --output history.PARQUET").code == 0
    rows = parquet.read_table("history.PARQUET").to_pylist()
    records = found.iterations(trained["id"])
    assert [(row["run"], row["run_name"]) for row in rows] == [(trained["id"], "first")] * 5
    for row, record in zip(rows, records, strict=True):
        expected = asdict(record)
        assert expected.pop("run_id") == trained["id"]
        assert {name: row[name] for name in expected} == expected
    [evaluation] = found.evaluations(trained["id"])
    assert [row["test_loss"] for row in rows] == [None] * 4 + [evaluation.loss]
    assert [row["test_accuracy"] for row in rows] == [None] * 4 + [evaluation.accuracy]
    assert [row["test_images"] for row in rows] == [None] * 4 + [evaluation.images]
    with tapeworks.connect() as client:
        frame = client.run("first").history()
    assert set(frame.columns) == {*rows[0], "run_id"} - {"run", "run_name"}
    assert frame["test_loss"].tolist()[-1] == evaluation.loss
    assert frame["test_images"].isna().tolist() == [True] * 4 + [False]


def test_histories_of_several_runs_are_one_table(
    trained: dict[str, Any], call: Call, found: History
) -> None:
    again = call("train --workers 0 --iterations 2 --json").values
    waiting = call("submit --paused --json").values

    told = call(f"export first {again['id']} {waiting['id']} first --output both.csv")

    assert (told.code, "has no iteration yet; it is paused" in told.err) == (0, True)
    rows = list(csv.DictReader(io.StringIO(Path("both.csv").read_text())))
    assert [row["run"] for row in rows] == [trained["id"]] * 5 + [again["id"]] * 2
    assert [row["run_name"] for row in rows] == ["first"] * 5 + [""] * 2
    assert [float(row["loss"]) for row in rows] == trained["losses"] + again["losses"]
    assert call("export first again --to keras --output both.keras").code == 2
    assert call(f"export {again['id']} first --to parquet --output both").code == 0
    table = parquet.read_table("both")
    assert [str(table.schema.field(name).type) for name in ("run_name", "test_loss")] == [
        "string",
        "double",
    ]
    assert call("submit --name grid --paused --vary seed=1,2").code == 0
    assert [run["name"] for run in call("export grid --to json").values] == ["grid-1", "grid-2"]
    assert "Received: 2 runs" in call("export grid --output grid.safetensors").err
    values = call(f"export first {waiting['id']} --to json").values
    assert [(one["id"], len(one["history"])) for one in values] == [
        (trained["id"], 5),
        (waiting["id"], 0),
    ]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_an_existing_saved_model_is_replaced_as_a_whole(
    trained: dict[str, Any], call: Call
) -> None:
    Path("model").mkdir()
    before = {path.name for path in Path().iterdir()} | {"home"}  # where Keras leaves its settings
    assert call("export first --to savedmodel --after 0 --output model").code == 0
    (Path("model") / "old").touch()
    assert call("export first --output model/").code == 0
    assert (Path("model") / "saved_model.pb").is_file()
    assert not (Path("model") / "old").exists()
    assert {path.name for path in Path().iterdir()} | {"home"} == before


def test_the_best_evaluations_parameters_are_exported(
    trained: dict[str, Any], call: Call, found: History
) -> None:
    for metric in ("loss", "accuracy"):
        line = f"export first --to safetensors --best {metric} --output best.safetensors"
        assert call(line).code == 0
        payload = Path("best.safetensors").read_bytes()
        assert parameters.digest(payload) == trained["parameters_digest"]


def test_an_existing_file_is_replaced_as_a_whole(trained: dict[str, Any], call: Call) -> None:
    Path("history.csv").write_text("old")
    before = {path.name for path in Path().iterdir()}
    assert call("export first --output history.csv").code == 0
    assert Path("history.csv").read_text().startswith("run,run_name,iteration,")
    assert {path.name for path in Path().iterdir()} == before
