"""The main job done by the seed's own program: run whole, or measured in part and scaled up."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.processes import run
from benchmarks.train_job import IMAGES, ITERATIONS
from tapeworks.model import datasets
from tapeworks.model.config import RunConfig

#: What is measured when the job is not run whole. The first iteration also traces the function.
MEASURED_IMAGES, MEASURED_ITERATIONS = 3, 3


def measure(directory: Path, *, full: bool) -> Iterator[tuple[str, float]]:
    """Seconds of the whole job, and of its parts."""
    counts = (IMAGES, ITERATIONS) if full else (MEASURED_IMAGES, MEASURED_ITERATIONS)
    file = str(_images_file(directory))
    command = [sys.executable, "-m", "benchmarks.seed_program", file, *map(str, counts)]
    whole, output = run(command, TF_CPP_MIN_LOG_LEVEL="2")
    measured = json.loads(output)
    prepare, iterations = measured["prepare_seconds"], measured["iteration_seconds"]
    one_prepared = statistics.median(prepare)
    one_iteration = statistics.median(iterations[1:])
    yield "seed_prepare_image_seconds", one_prepared
    yield "seed_iteration_seconds", one_iteration
    # What was not measured takes as long as the median of what was; with --full that is nothing.
    unmeasured = (IMAGES - len(prepare)) * one_prepared
    unmeasured += (ITERATIONS - len(iterations)) * one_iteration
    yield "seed_job_seconds", whole + unmeasured


def _images_file(directory: Path) -> Path:
    """The main job's own images, for a program that knows no data sets."""
    file = directory / "images.npz"
    if not file.exists():
        data = datasets.load(RunConfig(dataset="digits", images=IMAGES)).training
        np.savez(file, images=data.images, labels=data.labels)
    return file
