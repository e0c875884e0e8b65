"""The seed's numbers, through the queue and without, for both unfoldings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tapeworks.model import parameters
from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.scheduler.dispatch.contract import Dispatcher
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.submission import prepare_runs, submit
from tapeworks.storage.history import History
from tests.support.fleet import Fleet
from tests.support.training import drive, settings

#: Where the seed's reference run is kept, unless TAPEWORKS_REFERENCE_DIR names another place.
REFERENCE_DIR = Path(__file__).resolve().parents[3] / "shared" / "reference"

NAMES = ("conv_1", "conv_2", "conv_3", "dense_1")


@pytest.fixture(scope="module")
def reference() -> dict[str, NDArray[Any]]:
    path = Path(os.environ.get("TAPEWORKS_REFERENCE_DIR", REFERENCE_DIR)) / "seed_10x5.npz"
    if not path.exists():
        pytest.skip(f"The seed's reference run is not at {path}; set TAPEWORKS_REFERENCE_DIR.")
    with np.load(path) as stored:
        return dict(stored)


@pytest.fixture
def init_from(reference: dict[str, NDArray[Any]], tmp_path: Path) -> Path:
    path = tmp_path / "initial.safetensors"
    path.write_bytes(parameters.to_bytes({name: reference[f"init_{name}"] for name in NAMES}))
    return path


@pytest.fixture(params=["one process", "two workers"])
def dispatcher(request: pytest.FixtureRequest) -> Dispatcher:
    if request.param == "one process":
        return LocalDispatcher()
    fleet: Fleet = request.getfixturevalue("fleet")
    return CeleryDispatcher(fleet.redis_url)


@pytest.mark.parametrize("unfolding", ["layerwise", "full"])
def test_the_losses_and_last_parameters_are_those_of_the_seeds_own_program(
    unfolding: str,
    dispatcher: Dispatcher,
    reference: dict[str, NDArray[Any]],
    init_from: Path,
    mnist_dir: Path,
    history: History,
) -> None:
    config = settings(
        dataset="mnist",
        data_dir=str(mnist_dir),
        images=10,
        iterations=5,
        learning_rate=0.001,
        unfolding=unfolding,
    )
    run = submit(history, *prepare_runs([config], init_from))
    drive(history, dispatcher, run)
    losses = [record.loss for record in history.iterations(run.id)]
    np.testing.assert_allclose(losses, reference["losses"], rtol=1e-4)
    last = parameters.from_bytes(history.checkpoint(run.id).parameters)
    for name in NAMES:
        expected = reference[f"last_{name}"]
        largest = float(np.abs(expected).max())
        np.testing.assert_allclose(last[name], expected, rtol=0, atol=1e-4 * largest)


def test_the_loss_of_fifty_images_starts_and_falls_as_the_seed_says(history: History) -> None:
    config = settings(images=50, iterations=50)
    run = submit(history, *prepare_runs([config]))
    drive(history, LocalDispatcher(), run)
    losses = [record.loss for record in history.iterations(run.id)]
    assert losses[-1] < 20 < losses[0]
