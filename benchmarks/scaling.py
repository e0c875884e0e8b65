"""Iterations with 0, 1 and 2 workers, beside bare engines and PyTorch DDP: `make bench-scaling`.

Every round measures everything once, one after the other, so that a slow minute of the machine
falls on all of it; every busy process has a core of its own. An iteration lasts from its start to
the next one's, as the history has it; told are medians over all iterations but each run's first
ones. MNIST's files are looked for as `tapeworks train --dataset mnist` does: set
TAPEWORKS_DATA_DIR. What is not installed is left out.

A bare engine is the product's own in a process without anything else: all images of its half of the
microbatches in one call, as a worker computes a shard, in the same form of gradients.

The last line is for programs. Each of its values is a quotient of two times of this run, so that
more is better:

two_workers      1,968 images, summed: one process without a queue / two workers
engine_share     1,968 images, summed: two bare engines, summed / two workers
small_vs_alone   64 images, per-image: one process without a queue / two workers
small_vs_ddp     64 images, per-image: PyTorch DDP / two workers
large_vs_ddp     1,968 images, summed: PyTorch DDP / two workers
seed             the seed's job, 50 images, two workers: the seed's program / Tapeworks
default_64, default_2000, default_9000
                 ten classes: whole `train --workers 0` / whole `train` without --workers
default_iteration_64, default_iteration_2000, default_iteration_9000
                 the same, of an iteration
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks import seed_job
from benchmarks.document import fill
from benchmarks.processes import run
from benchmarks.rounds import announced, count
from benchmarks.scaling_report import (
    DDP,
    DEFAULT,
    DEFAULT_WHOLE,
    IN_PROCESS,
    PINNED_IN_PROCESS,
    SEED_PROGRAM,
    WHOLE,
    Samples,
    bare_engines,
    defaults_table,
    iterations_table,
    told,
    with_workers,
)
from benchmarks.train_run import WARM_UP, Job, time_train
from tapeworks.model.networks.spec import GradientForm

#: Every 3 and 6 of MNIST's 10,000 test images; of ten classes, most of them.
TEN = "0,1,2,3,4,5,6,7,8,9"
JOBS = [
    Job(images=64, iterations=60),
    Job(images=1968, iterations=30),
    Job(images=9000, classes=TEN, iterations=12),
]

#: What is run as a user runs it, with `--workers 0` and without --workers.
DEFAULT_JOBS = [
    Job(images=64, classes=TEN, iterations=100),
    Job(images=2000, classes=TEN, iterations=50),
    Job(images=9000, classes=TEN, iterations=30),
]

#: The seed's numbers.
SEED_JOB = Job(dataset="digits", images=50, iterations=50)

#: Workers beside the process without a queue.
WORKERS = (1, 2)

#: What can be measured apart.
PARTS = ("workers", "seed", "defaults")

#: How nearly the first iteration's loss must be the same with PyTorch.
SAME_LOSS = 1e-5

Measure = Callable[[Samples], None]


def main() -> None:
    """Measure round after round, then print the tables and the line for programs."""
    arguments = _arguments()
    samples: Samples = defaultdict(list)
    measures = list(_measures(arguments))
    for _ in announced(arguments.rounds):
        for measure in measures:
            measure(samples)
    tables = {"iterations": iterations_table(samples), "defaults": defaults_table(samples)}
    print("\n\n".join("\n".join(lines) for lines in tables.values() if lines))
    if arguments.document:
        fill(arguments.document, tables)
    print(told(samples))


def _measures(arguments: argparse.Namespace) -> Iterator[Measure]:
    def chosen(jobs: list[Job]) -> list[Job]:
        wanted = arguments.images or [job.images for job in jobs]
        return [job.of(arguments.iterations) for job in jobs if job.images in wanted]

    if "workers" in arguments.parts:
        for job in chosen(JOBS):
            yield from _with_and_without_workers(job)
    if "seed" in arguments.parts:
        yield partial(_beside_the_seed, SEED_JOB.of(arguments.iterations))
    if "defaults" in arguments.parts:
        for job in chosen(DEFAULT_JOBS):
            yield partial(_as_users_do, job)


def _with_and_without_workers(job: Job) -> Iterator[Measure]:
    first_losses: list[float] = []
    yield partial(_in_process, job, first_losses)
    for form in (GradientForm.PER_IMAGE, GradientForm.SUMMED):
        for workers in WORKERS:
            yield partial(_workers, job, workers, form)
        yield partial(_bare_engines, job, form)
    if importlib.util.find_spec("torch"):
        yield partial(_ddp, job, first_losses)
    else:
        print("PyTorch DDP is left out: pip install '.[bench]'", file=sys.stderr)


def _in_process(job: Job, first_losses: list[float], samples: Samples) -> None:
    timing = time_train(job, workers=0)
    samples[job.images, PINNED_IN_PROCESS] += timing.periods
    first_losses.append(timing.first_loss)


def _workers(job: Job, workers: int, form: GradientForm, samples: Samples) -> None:
    timing = time_train(job, workers=workers, gradients=form.value)
    samples[job.images, with_workers(workers, form)] += timing.periods


def _bare_engines(job: Job, form: GradientForm, samples: Samples) -> None:
    seconds = json.loads(_answer("benchmarks.bare_engine", job, form.value))
    samples[job.images, bare_engines(form)] += seconds[WARM_UP:]


def _ddp(job: Job, first_losses: list[float], samples: Samples) -> None:
    """Raises if it does not compute the same."""
    found = json.loads(_answer("benchmarks.peers.torch_ddp", job))
    if not math.isclose(found["first_loss"], first_losses[-1], rel_tol=SAME_LOSS):
        expected = f"Expected a first loss of {first_losses[-1]} of PyTorch DDP as of Tapeworks."
        raise RuntimeError(f"{expected} Received: {found['first_loss']}")
    samples[job.images, DDP] += found["seconds"][WARM_UP:]


def _answer(module: str, job: Job, *options: str) -> str:
    words = [str(job.images), job.classes, str(job.iterations), *options]
    data = {"TAPEWORKS_DATA_DIR": os.environ.get("TAPEWORKS_DATA_DIR", "")}
    return run([sys.executable, "-m", module, *words], **data)[1]


def _beside_the_seed(job: Job, samples: Samples) -> None:
    form = GradientForm.PER_IMAGE
    timing = time_train(job, workers=2, gradients=form.value)
    samples[job.images, with_workers(2, form)] += timing.periods
    with tempfile.TemporaryDirectory(prefix="tapeworks-bench-") as place:
        measured = dict(seed_job.measure(Path(place), full=False))
    samples[job.images, SEED_PROGRAM].append(measured["seed_iteration_seconds"])


def _as_users_do(job: Job, samples: Samples) -> None:
    for iteration, whole, workers in ((IN_PROCESS, WHOLE, 0), (DEFAULT, DEFAULT_WHOLE, None)):
        timing = time_train(job, workers=workers, pinned=False)
        samples[job.images, iteration] += timing.periods
        samples[job.images, whole].append(timing.seconds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=count, default=3, help="[default: 3]")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure [default: all]"
    )
    parser.add_argument("--images", nargs="+", type=int, help="only with so many images")
    parser.add_argument("--iterations", type=count, help="of every run [default: by its images]")
    parser.add_argument("--document", type=Path, help="write the tables into docs/scaling.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
