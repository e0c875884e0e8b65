"""Data sets that are checked where a run is submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapeworks.model.config import RunConfig, run_config
from tapeworks.model.datasets import checking, load
from tapeworks.model.datasets.checking import check_data
from tapeworks.model.errors import ConfigurationError, DatasetError
from tapeworks.model.networks.prepare import prepare
from tapeworks.scheduler.queueing import check_queued

WORDS = "the scheduler will check that it has the run's images"


@pytest.fixture
def eight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's file; there is no MNIST on this machine."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("TAPEWORKS_DATA_DIR", raising=False)
    path = tmp_path / "eight.npz"
    images = np.zeros((60, 8, 8), np.uint8)
    np.savez(path, images=images, labels=np.tile([3, 6], 30))
    return path


@pytest.mark.parametrize(
    "values",
    [
        {"images": 5_000_000},
        {"test_images": 400},
        {"classes": (3, 11)},
        {"dataset": "eight", "images": 61},
        {"dataset": "wide"},
        {"dataset": "floats"},
        {"dataset": "damaged"},
    ],
)
def test_what_cannot_be_trained_is_refused_in_the_sentence_of_a_training(
    eight: Path, values: dict[str, Any]
) -> None:
    np.savez(eight.with_name("wide.npz"), images=np.zeros((60, 8, 30), "u1"), labels=np.arange(60))
    np.savez(eight.with_name("floats.npz"), images=np.full((60, 9, 9), 9.5), labels=np.arange(60))
    eight.with_name("damaged.npz").write_bytes(b"PK")
    if name := values.get("dataset"):
        values |= {"dataset": str(eight.with_name(f"{name}.npz"))}
    config = run_config(values)

    with pytest.raises(DatasetError) as trained:
        load(config)
    with pytest.raises(DatasetError) as checked:
        check_data([RunConfig(), config])

    assert str(checked.value) == str(trained.value)


def test_what_cannot_be_read_here_is_left_to_the_scheduler_and_said_once(
    eight: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, other = RunConfig(dataset="/nowhere/x.npz"), RunConfig(dataset="/nowhere/x.npz", images=9)
    mnist = RunConfig(dataset="mnist", images=10**9)
    elsewhere = RunConfig(dataset="mnist", data_dir="/nowhere")
    assert check_data([RunConfig(), RunConfig(dataset=str(eight))]) == []
    assert check_data([away, other]) == [f"/nowhere/x.npz cannot be read here: {WORDS}"]
    assert check_data([mnist, elsewhere]) == [f"mnist cannot be read here: {WORDS}"]
    assert not list(eight.parent.glob("datasets/*"))  # nothing was downloaded
    with np.load(eight) as arrays:
        np.savez_compressed(eight, images=0 * arrays["images"], labels=arrays["labels"])
    monkeypatch.setattr(checking, "LARGEST_CHECKED_FILE", eight.stat().st_size)
    [sentence] = check_data([RunConfig(dataset=str(eight), images=61)])
    assert sentence == f"{eight} is too large to be read for a check: {WORDS}"


def test_answers_and_parameters_that_redis_would_not_take_are_refused() -> None:
    values = {"images": 20_000, "microbatch_size": 20_000, "gradients": "per-image"}
    config = run_config({"classes": "0-9", **values})
    with pytest.raises(ConfigurationError, match=r"a microbatch's answer of at most 533 MB"):
        check_queued(prepare([config]))
    told = list[str]()
    check_queued(prepare([RunConfig(dataset="/nowhere.npz")]), told.append)
    assert told == [f"/nowhere.npz cannot be read here: {WORDS}"]
