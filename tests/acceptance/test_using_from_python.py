"""Runs are drawn, exported, measured and asked from programs as on the command line."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import tapeworks
from tapeworks.cli.outputs.describe import as_json
from tapeworks.errors import InvalidValue, UsageError
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.storage.history import History
from tests.support.calls import TRAIN_FIRST, Call
from tests.support.processes import Start
from tests.support.training import database, drive
from tests.support.web import serve


@pytest.fixture
def stored(places: Path, call: Call) -> Iterator[History]:
    """The history of a run named first."""
    assert call(TRAIN_FIRST).code == 0
    history = database(places)
    yield history
    history.database.close()


@pytest.fixture(params=["direct", "remote"])
def client(
    request: pytest.FixtureRequest, stored: History, start: Start
) -> Iterator[tapeworks.Client]:
    place = None if request.param == "direct" else serve(start).address
    with tapeworks.connect(place) as client:
        yield client


def test_a_run_is_drawn_and_exported_as_on_the_command_line(
    client: tapeworks.Client, stored: History, call: Call, tmp_path: Path
) -> None:
    run = client.run("first")
    longer = run.retry(after=3, changes={"iterations": 7}, name="longer")
    drive(stored, LocalDispatcher(), stored.find_run(longer.id))

    options = "--smooth 1 --color-by iterations --title both"
    drawn = run.plot("loss", longer, smooth=1, color_by="iterations", title="both")
    assert json.loads(as_json(drawn.values)) == call(f"plot first longer {options} --json").values
    with (
        Image.open(drawn.save(tmp_path / "curve.png")) as saved,
        Image.open(io.BytesIO(drawn._repr_png_())) as shown,
    ):
        assert saved.size == shown.size
    for name in ("runs.csv", "runs.json", "runs.safetensors"):
        assert run.export(tmp_path / name) == tmp_path / name
        assert call(f"export first --output {tmp_path}/other-{name}").code == 0
        assert (tmp_path / name).read_bytes() == (tmp_path / f"other-{name}").read_bytes()
    first = run.export(tmp_path / "0.safetensors", after=0).read_bytes()
    assert first != (tmp_path / "runs.safetensors").read_bytes()

    untyped: Any = run
    for wrong, words in (
        (lambda: run.plot("nope"), "loss, accuracy, .* kind=nope"),
        (lambda: untyped.plot("loss", "other"), "client.run.name. returns it. .* beside=other"),
        (lambda: untyped.plot(colour=1), "one of iteration, .* argument=colour"),
        (lambda: run.plot("hardest", by="first"), "last or mean"),
        (lambda: run.plot("hardest", longer), "shows one run"),
        (lambda: run.export(tmp_path / "runs.xlsx"), r"ends in \.csv"),
        (lambda: run.export(tmp_path / "runs.csv", to="xlsx"), "one of csv, .* to=xlsx"),
        (lambda: run.export(tmp_path / "a.safetensors", after=1, best="loss"), "choose one"),
        (lambda: run.export(tmp_path / "runs.csv", after=1), "^after and best choose parameters"),
        (lambda: run.export(tmp_path / "a.safetensors", best="worst"), "loss or accuracy"),
        (lambda: run.predict(5), "files, or an array .* images=5"),
        (lambda: run.predict([]), r"images=\[\]"),
        (lambda: run.evaluate(workers=-1), "workers=-1"),
    ):
        with pytest.raises(UsageError, match=words):
            wrong()


def test_the_images_of_a_run_are_listed_with_their_rows(
    stored: History, call: Call, start: Start
) -> None:
    with tapeworks.connect() as client:
        run = client.run("first")
        listed = pd.DataFrame(call("images first --by mean --limit 4 --format json").values)
        assert run.images(by="mean", limit=4).to_dict() == listed.to_dict()
        assert len(run.images()) == 20
        assert len(run.images(4, limit=3)) == 3
        assert len(run.plot("hardest", limit=5).values["images"]) == 5
        with pytest.raises(InvalidValue, match="by=worst"):
            run.images(by="worst")
    with tapeworks.connect(serve(start).address) as client:
        assert client.run("first").images(by="mean", limit=4).to_dict() == listed.to_dict()
        with pytest.raises(UsageError, match="not give the values of all iterations' images"):
            client.run("first").plot("hardest")


@pytest.mark.long
def test_parameters_are_measured_and_asked_through_a_page(
    stored: History, start: Start, call: Call, tmp_path: Path
) -> None:
    with tapeworks.connect(serve(start).address) as client:
        run = client.run("first")
        measured = asdict(run.evaluate(best="loss")) | {"classes": list(run.config.classes)}
        assert measured == call("evaluate first --best loss --json").values
        pictures = (load_digits().images[:3] * 15).astype(np.uint8)
        np.savez(tmp_path / "some.npz", images=pictures)
        told = call(f"predict first {tmp_path}/some.npz --json").values
        predicted = run.predict(pictures)
        assert predicted["predicted"].tolist() == [one["predicted"] for one in told]
        assert predicted["p_3"].tolist() == [one["probabilities"]["3"] for one in told]
