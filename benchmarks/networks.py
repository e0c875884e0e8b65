"""Users' networks by Tapeworks, Keras, PyTorch and Opacus, and with workers: `make bench-networks`.

The networks are `examples/lenet.py` and `examples/resnet.py`, and the same ones in the layers of
Keras and PyTorch. Every way waits in a process of its own; round after round each computes for a
moment on the same core while the others wait, so that a slow minute of the machine falls on all.
Told are medians. Before anything is measured, all must have the same losses from the same
parameters on the same 64 images, and the same gradient norms where each image has one.

Tapeworks computes a microbatch of 64 as a worker does, from NumPy arrays of grey levels and
parameters to NumPy arrays of float64 sums; the peers are given scaled images once, and update their
own parameters, which a worker leaves to the scheduler.

Then LeNet is trained on MNIST, in one process and with two workers, each on a core of its own: an
iteration lasts from its start to the next one's, as the history has it. MNIST's files are looked
for as `tapeworks train --dataset mnist` does: set TAPEWORKS_DATA_DIR.

The last line is for programs. Each of its values is a quotient of two times of this run; above 1,
Tapeworks is faster, or two workers are.

lenet_keras_ratio, resnet_keras_ratio   the faster of train_on_batch and fit / microbatch
lenet_vmap_ratio                        PyTorch vmap(grad), not compiled / per-image
two_workers_ratio                       one process without a queue / two workers
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import turns
from benchmarks.document import fill
from benchmarks.example_problem import (
    BATCH,
    CLASSES,
    FIT_BATCHES,
    IMAGE_SHAPES,
    ExampleProblem,
    example_path,
    load_problem,
)
from benchmarks.network_process import OURS, build
from benchmarks.networks_report import (
    KERAS_FIT,
    KERAS_WAYS,
    LABELS,
    OPACUS,
    Iterations,
    Samples,
    told,
    ways_table,
    workers_table,
)
from benchmarks.rounds import announced, count
from benchmarks.train_run import Job, time_train

#: What can be measured apart.
PARTS = ("ways", "workers")

#: How nearly all must agree: parts of the expected number.
TOLERANCE = 1e-4

#: Numbers of workers that are compared; 0 is one process without a queue.
WORKERS = (0, 2)

JOB = Job(
    images=2048,
    classes=",".join(map(str, range(CLASSES))),
    iterations=30,
    others=("--network", example_path("lenet"), "--microbatch-size", str(BATCH)),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """A way to compute a network's gradients, in its process."""

    network: str
    way: str
    waiting: turns.Waiting

    def measure(self) -> float:
        """Call it for a moment and return the seconds per image."""
        batches = FIT_BATCHES[self.network] if self.way == KERAS_FIT else 1
        return 1 / (self.waiting.measure() * batches * BATCH)


def main() -> None:
    """Check, measure, print."""
    arguments = _arguments()
    turns.limit_threads()
    samples = _measure_ways(arguments) if "ways" in arguments.parts else {}
    job = JOB.of(arguments.iterations)
    iterations = _measure_workers(job, arguments.rounds) if "workers" in arguments.parts else {}
    tables = {
        "ways": ways_table(samples, arguments.networks),
        "two workers": workers_table(iterations, job.images),
    }
    print("\n\n".join("\n".join(lines) for lines in tables.values() if lines))
    if arguments.document:
        fill(arguments.document, tables)
    print(told(samples, iterations))


def _measure_ways(arguments: argparse.Namespace) -> Samples:
    """Seconds per image of each way, round by round."""
    contenders = [
        one
        for name in arguments.networks
        for one in _start_all(load_problem(name), arguments.ways, arguments.start_seconds)
    ]
    samples: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in announced(arguments.rounds):
        for one in contenders:
            samples[one.network, one.way].append(one.measure())
    for one in contenders:
        one.waiting.close()
    return samples


def _measure_workers(job: Job, rounds: int) -> Iterations:
    """Seconds of iterations with each number of workers."""
    found: dict[int, list[float]] = defaultdict(list)
    for _ in announced(rounds):
        for workers in WORKERS:
            found[workers] += time_train(job, workers=workers).periods
    return found


def _start_all(problem: ExampleProblem, ways: list[str], seconds: float) -> list[Contender]:
    """Start each way that works here. Exits unless all compute the same."""
    found = []
    for way in ways:
        try:
            waiting = _start(problem, way, seconds)
        except turns.NotStartedError as error:
            print(f"{problem.name}: {LABELS[way]} is left out: {error}.", file=sys.stderr)
        else:
            found.append(Contender(network=problem.name, way=way, waiting=waiting))
    check({one.way: one.waiting.answer() for one in found})
    return found


def _start(problem: ExampleProblem, way: str, seconds: float) -> turns.Waiting:
    needed = OPACUS if way == OPACUS else "torch"
    if way not in (*OURS, *KERAS_WAYS) and importlib.util.find_spec(needed) is None:
        raise turns.NotStartedError(f"pip install {needed}")
    if way.endswith("-compiled") and shutil.which(os.environ.get("CXX", "g++")) is None:
        raise turns.NotStartedError("there is no C++ compiler; name one with CXX")
    return turns.start(partial(build, problem, way), seconds=seconds)


def check(answers: Mapping[str, Mapping[str, Any]]) -> None:
    """Exit unless all have the same mean loss, and the same norms where they have any."""
    for name in ("losses", "gradient_norms"):
        told = {way: answer[name] for way, answer in answers.items() if name in answer}
        expected = None
        for way, numbers in told.items():
            found = numbers.mean() if name == "losses" else numbers
            expected = found if expected is None else expected
            if not np.allclose(found, expected, rtol=TOLERANCE, atol=0):
                sys.exit(f"{LABELS[way]}: expected {name} of {expected}. Received: {found}.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.networks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=count, default=7, help="[default: 7]")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure [default: all]"
    )
    parser.add_argument("--networks", nargs="+", choices=IMAGE_SHAPES, default=list(IMAGE_SHAPES))
    parser.add_argument("--ways", nargs="+", choices=LABELS, default=list(LABELS))
    parser.add_argument(
        "--start-seconds", type=float, default=180, help="of a way's first call [default: 180]"
    )
    parser.add_argument("--iterations", type=count, help=f"[default: {JOB.iterations}]")
    parser.add_argument("--document", type=Path, help="write the tables into docs/networks.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
