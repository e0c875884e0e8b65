"""Made-up runs with values as the default run writes them: the same for the same seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tapeworks.model.config import RunConfig
from tapeworks.storage.packing import pack
from tapeworks.storage.records import RunStatus

#: Images in an iteration, and in the default run's two shards for two workers.
IMAGES, SHARDS = 50, (32, 18)

#: When the first run was submitted, and how long the next one waits.
FIRST, APART = datetime(2026, 1, 5, 8, tzinfo=UTC), timedelta(minutes=7, microseconds=123)

RATES = (0.0003, 0.001, 0.003, 0.01)
STUDIES = ("rates", "seeds", "nightly", "audit")
FAILURE = "Iteration 12: the loss is not finite. Lower the learning rate."

#: The source of the network of their own that some runs have, one of six.
SOURCE = "def losses(parameters, images, labels, *, hidden=64, activation='relu'): ..."
DIGEST = hashlib.sha256(SOURCE.encode()).hexdigest()

#: A row of some table, by column.
Row = dict[str, Any]

NETWORKS: list[Row] = [{"digest": DIGEST, "source": SOURCE}]


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeUp:
    """One run, as rows of the tables that hold it."""

    runs: list[Row]
    iterations: list[Row]
    tags: list[Row]
    workers: list[Row]
    events: list[Row]
    evaluations: list[Row]
    checkpoints: list[Row]


def run_id(number: int) -> str:
    """The id of the run with this number, from 1."""
    created = FIRST + number * APART
    return f"{created:%Y%m%d-%H%M%S}{created.microsecond // 1000:03}-{number * 7919 % 16**6:06x}"


def made_up_run(number: int, iterations: int) -> MadeUp:
    """The run with this number, from 1: most are completed, some failed or were cancelled."""
    random = np.random.default_rng(number)
    labels = np.arange(IMAGES) % 2
    rows = list(_iterations(random, number, iterations, labels))
    run = _run(number, iterations) | {"labels": bytes(labels.tolist())}
    run |= {"first_loss": rows[0]["loss"], "final_loss": rows[-1]["loss"]}
    run |= {"parameters_digest": rows[-1]["parameters_digest"]}
    evaluation = _evaluation(random, run)
    run |= {"test_loss": evaluation["loss"], "test_accuracy": evaluation["accuracy"]}
    return MadeUp(
        runs=[run],
        iterations=rows,
        tags=[_of(run, key="study", value=STUDIES[number % len(STUDIES)])],
        workers=list(_workers(number, rows)),
        events=list(_events(run)),
        evaluations=[evaluation],
        checkpoints=[
            # Without parameters: they are not what is measured.
            _of(run, completed_iterations=done, digest="0" * 64, parameters=b"")
            for done in (0, iterations)
        ],
    )


def _run(number: int, iterations: int) -> Row:
    status = RunStatus.COMPLETED
    if number % 40 == 3:
        status = RunStatus.FAILED
    elif number % 40 == 17:
        status = RunStatus.CANCELLED
    wanted = iterations if status is RunStatus.COMPLETED else 2 * iterations
    created, rate = FIRST + number * APART, RATES[number // 5 % len(RATES)]
    config = RunConfig(iterations=wanted, learning_rate=rate, seed=number % 5, test_images=200)
    started = created + timedelta(seconds=1)
    return {
        "number": number,
        "id": run_id(number),
        "name": f"{STUDIES[number % len(STUDIES)]}-{number}",
        "status": status,
        "reason": FAILURE if status is RunStatus.FAILED else None,
        "priority": 0,
        "configuration": config.model_dump(mode="json") | _network(number),
        "network_digest": DIGEST if number % 6 == 4 else None,
        "iterations": wanted,
        "completed_iterations": iterations,
        "created_at": created,
        "started_at": started,
        "ended_at": started + timedelta(seconds=0.0125 * iterations),
        "term": 1,
        "fingerprint": "3404341f77f44fd5",
        "images_digest": f"{number % 8:064x}",
    }


def _network(number: int) -> Row:
    """The settings of a run's network: its file's name, and its options."""
    if number % 6 != 4:
        return {"network": "built-in", "options": {}}
    options = {"hidden": 64 if number % 4 else 128, "activation": "relu", "bias": number > 12}
    return {"network": "lenet.py", "options": options | ({"scale": 1e-05} if number > 4 else {})}


def _iterations(
    random: Generator, number: int, count: int, labels: NDArray[np.int64]
) -> Iterator[Row]:
    """Losses that fall, each the sum of its images'."""
    started = FIRST + number * APART + timedelta(seconds=1)
    falling = 1.4 * np.exp(-np.arange(count) * random.uniform(0.5, 4) / count) + 0.05
    values = random.gamma(2.0, 0.5, (count, 2 * IMAGES)) * falling[:, np.newaxis]
    wrong = random.random((count, IMAGES)) < 0.05 + 0.2 * falling[:, np.newaxis]
    for iteration, row in enumerate(values.astype(np.float32)):
        predictions = labels ^ wrong[iteration]
        seconds = float(random.gamma(8, 0.0015))
        yield {
            "run": number,
            "iteration": iteration,
            "images": IMAGES,
            "loss": float(row[:IMAGES].astype(np.float64).sum()),
            "accuracy": float((predictions == labels).mean()),
            "gradient_norm": float(random.gamma(2, 3)),
            "seconds": seconds,
            "started_at": started + timedelta(seconds=0.0125 * iteration),
            "term": 1,
            "shards": len(SHARDS),
            "attempts": len(SHARDS) + int(seconds > 0.025),
            "workers": len(SHARDS),
            "parameters_digest": random.bytes(32).hex(),
            "ledger": list(_ledger(random, seconds)),
            "predictions": pack(predictions.astype(np.uint8).tobytes()),
            "image_numbers": b"",
            "image_values": row.tobytes(),
        }


def _ledger(random: Generator, seconds: float) -> Iterator[list[int]]:
    """Two lines; which worker takes the first shard is chance."""
    first = 0
    workers = random.permutation(len(SHARDS)) + 1
    for shard, (images, worker) in enumerate(zip(SHARDS, workers, strict=True)):
        computing = random.uniform(0.2, 0.5) * seconds
        arrival = random.uniform(0.7, 0.95) * seconds
        attempt = 1 + int(shard == 0 and seconds > 0.025)
        times = [round(computing * 1e6), round(arrival * 1e6)]
        yield [first, images, shard, attempt, 1, int(worker), *times]
        first += images


def _workers(number: int, rows: list[Row]) -> Iterator[Row]:
    """Return what the ledgers add up to, for each worker."""
    for worker in range(1, len(SHARDS) + 1):
        lines = [line for row in rows for line in row["ledger"] if line[5] == worker]
        yield {
            "run": number,
            "number": worker,
            "name": f"desk{number % 20}-{1000 + 10 * (number % 20) + worker}",
            "images": sum(line[1] for line in lines),
            "answers": len(lines),
            "seconds": sum(line[6] for line in lines) / 1e6,
            "first_at": rows[0]["started_at"],
            "last_at": rows[-1]["started_at"],
        }


def _events(run: Row) -> Iterator[Row]:
    submitted = f"submitted for {run['iterations']} iterations"
    yield _of(run, at=run["created_at"], kind="submitted", message=submitted)
    claimed = "claimed by process 4711 on desk1 after 0 iterations"
    yield _of(run, at=run["started_at"], kind="claimed", message=claimed)
    ended = f"{run['status'].value} after {run['completed_iterations']} iterations"
    told = f"{ended}: {run['reason']}" if run["reason"] else ended
    yield _of(run, at=run["ended_at"], kind=run["status"].value, message=told)


def _evaluation(random: Generator, run: Row) -> Row:
    right = int(random.integers(150, 200))
    return _of(
        run,
        completed_iterations=run["completed_iterations"],
        images=200,
        loss=float(random.uniform(5, 80)),
        accuracy=right / 200,
        confusion=[[right // 2, 200 - right], [0, right - right // 2]],
    )


def _of(run: Row, **values: Any) -> Row:
    return {"run_id": run["id"], **values}
