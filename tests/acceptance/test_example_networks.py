"""The example networks: the same bits however they are computed, and what they learn."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapeworks.model import datasets
from tapeworks.model.config import run_config
from tapeworks.model.networks.own.allowed import allow
from tapeworks.model.networks.prepare import Prepared
from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.submission import prepare_runs, submit
from tapeworks.storage.history import History
from tapeworks.storage.records import EvaluationRecord, IterationRecord, RunRecord, RunStatus
from tapeworks.workers.sources import allow_networks
from tests.support.fleet import Fleet, running_fleet
from tests.support.replaying import replayed
from tests.support.training import Digests, database, drive

EXAMPLES = Path(__file__).parents[2] / "examples"

#: Seven microbatches, the last of them short, in each of a few iterations.
SHORT: dict[str, Any] = {
    "images": 100,
    "microbatch_size": 16,
    "iterations": 4,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "test_images": 20,
}

MLP = {"dataset": "breast_cancer"}
REGRESSION = {"dataset": "diabetes", "gradients": "summed"}
LENET = {"dataset": "mnist", "gradients": "per-image"}
RESNET = {"iterations": 2, "images": 40, "test_images": 0}

DIGESTS: dict[str, Digests] = {}


@dataclass(frozen=True, kw_only=True)
class Example:
    """An example that is checked, and may be submitted any number of times."""

    prepared: Prepared

    def submit(self, history: History, **changes: Any) -> RunRecord:
        """Queue a short run of it."""
        config = self.prepared.config.model_copy(update=changes)
        return submit(history, replace(self.prepared, config=config))


@functools.cache
def checked(name: str, **values: Any) -> Example:
    """Check an example once for all tests, and let this process run it."""
    config = run_config(SHORT | {"network": str(EXAMPLES / f"{name}.py")} | values)
    [prepared] = prepare_runs([config])
    assert prepared.source is not None
    allow(prepared.source)
    return Example(prepared=prepared)


@pytest.fixture(
    params=["mlp", "regression", "lenet", pytest.param("resnet", marks=pytest.mark.long)]
)
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Example:
    name: str = request.param
    if name == "mlp":
        return checked(name, **MLP)
    if name == "regression":
        return checked(name, **REGRESSION)
    if name == "lenet":
        return checked(name, **LENET, data_dir=str(request.getfixturevalue("mnist_dir")))
    return checked(name, **RESNET, dataset=pictures(tmp_path_factory.getbasetemp()))


@functools.cache
def pictures(directory: Path, count: int = 60) -> str:
    """Colour pictures of ten classes: each has stripes of its own, under noise."""
    source = np.random.default_rng(5)
    labels = np.arange(count) % 10
    waves = np.sin(np.arange(32) * (1 + labels[:, np.newaxis]) / 3)[:, :, np.newaxis, np.newaxis]
    noise = source.normal(0, 0.2, (count, 32, 32, 3))
    images = np.clip(127 + 80 * (waves + noise), 0, 255).astype(np.uint8)
    np.savez(directory / "stripes.npz", images=images, labels=labels)
    return str(directory / "stripes.npz")


@pytest.fixture(scope="module", params=[1, 2, 3])
def so_many(request: pytest.FixtureRequest, workers: Fleet) -> Fleet:
    """One worker, two and three."""
    workers.resize(request.param)
    return workers


@pytest.fixture(scope="module")
def workers() -> Iterator[Fleet]:
    """Workers that may run the examples."""
    with running_fleet(allow_networks(EXAMPLES)) as fleet:
        yield fleet


@pytest.fixture
def expected(example: Example, tmp_path: Path) -> Digests:
    """The bits of one process; computed once."""
    name = example.prepared.config.network
    if name not in DIGESTS:
        history = database(tmp_path / "alone")
        DIGESTS[name] = drive(history, LocalDispatcher(), example.submit(history)).digests
        history.database.close()
    return DIGESTS[name]


def test_any_number_of_workers_gives_the_bits_of_one_process(
    so_many: Fleet, example: Example, expected: Digests, history: History
) -> None:
    driven = drive(history, CeleryDispatcher(so_many.redis_url), example.submit(history))

    assert driven.digests == expected
    assert driven.run.status is RunStatus.COMPLETED
    assert driven.run.network_digest == example.prepared.config.spec.digest


@pytest.mark.parametrize("shards", [1, 3, 7])
def test_any_sharding_gives_the_same_bits(
    shards: int, example: Example, expected: Digests, workers: Fleet, history: History
) -> None:
    workers.at_least(2)

    run = example.submit(history, shards=shards)
    driven = drive(history, CeleryDispatcher(workers.redis_url), run)

    assert driven.digests == expected


def test_a_stopped_run_goes_on_to_the_same_bits(
    example: Example, expected: Digests, workers: Fleet, history: History
) -> None:
    workers.at_least(1)
    run = example.submit(history)

    stopped = drive(history, LocalDispatcher(), run, stop_after=1)
    resumed = drive(history, CeleryDispatcher(workers.redis_url), history.queue.resume(run.id))

    assert stopped.run.status is RunStatus.PAUSED
    assert resumed.digests == expected


def test_a_killed_worker_changes_no_bit(
    example: Example, expected: Digests, workers: Fleet, history: History
) -> None:
    workers.resize(2)

    def kill_one(record: IterationRecord) -> None:
        if record.iteration == 0:
            os.kill(min(workers.process_ids()), signal.SIGKILL)

    run = example.submit(history)
    driven = drive(history, CeleryDispatcher(workers.redis_url), run, on_iteration=kill_one)

    assert driven.digests == expected


def test_either_database_keeps_the_same_history(
    example: Example, expected: Digests, either_history: History
) -> None:
    run = example.submit(either_history)

    assert drive(either_history, LocalDispatcher(), run).digests == expected


def test_a_replay_finds_every_bit(example: Example, history: History) -> None:
    run = drive(history, LocalDispatcher(), example.submit(history)).run

    found = replayed(history, run)

    assert found.difference is None
    assert found.same == list(range(run.iterations))


# What they learn


LEARNING: dict[str, dict[str, Any]] = {
    "mlp": {"dataset": "breast_cancer", "images": 400, "test_images": 169, "iterations": 40},
    "regression": {"dataset": "diabetes", "images": 342, "test_images": 100, "iterations": 60},
    "lenet": {
        "dataset": "mnist",
        "images": 8000,
        "test_images": 2000,
        "images_per_iteration": 128,
        "iterations": 640,
        "learning_rate": 0.003,
        "schedule": "cosine",
    },
    "resnet": {
        "images": 600,
        "test_images": 200,
        "images_per_iteration": 100,
        "iterations": 60,
        "learning_rate": 0.003,
        "schedule": "cosine",
    },
}


def learned(history: History, name: str, **values: Any) -> EvaluationRecord:
    """The last evaluation of a training in this process, with the settings of the documents."""
    example = checked(name, **{"microbatch_size": None} | LEARNING[name] | values)
    run = drive(history, LocalDispatcher(), example.submit(history)).run
    return history.evaluations(run.id)[-1]


def test_the_dense_network_tells_tumours_apart(history: History) -> None:
    accuracy = learned(history, "mlp").accuracy

    assert accuracy is not None
    assert accuracy >= 0.95


def test_the_regression_is_better_than_the_mean_of_all_targets(history: History) -> None:
    evaluation = learned(history, "regression")
    data = datasets.load(run_config(REGRESSION | {"network": "x.py"} | LEARNING["regression"]))
    scaled = (data.test.labels - data.training.labels.mean()) / 77

    assert evaluation.accuracy is None
    assert evaluation.loss / evaluation.images < 0.6 * float(np.square(scaled).mean())


@pytest.mark.long
def test_lenet_knows_98_of_100_digits_that_it_has_not_seen(
    history: History, mnist_dir: Path
) -> None:
    accuracy = learned(history, "lenet", data_dir=str(mnist_dir)).accuracy

    assert accuracy is not None
    assert accuracy >= 0.98


@pytest.mark.long
def test_the_residual_network_tells_stripes_apart(history: History, tmp_path: Path) -> None:
    accuracy = learned(history, "resnet", dataset=pictures(tmp_path, 800)).accuracy

    assert accuracy is not None
    assert accuracy >= 0.9
