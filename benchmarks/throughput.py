"""Images per second of one process, for one unfolding: `python -m benchmarks.throughput full`."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.processes import run
from tapeworks.model.config import RunConfig
from tapeworks.model.networks.builtin.spec import Unfolding

#: Images computed over and over. The full unfolding prepares each of them once, unmeasured.
IMAGES = {Unfolding.FULL: 8, Unfolding.LAYERWISE: 48}

#: Seconds of measuring in one process.
MEASURED_SECONDS = 2.0


def measure(_directory: Path) -> Iterator[tuple[str, float]]:
    """Images per second of both unfoldings, each in a process of its own."""
    for unfolding in Unfolding:
        _seconds, output = run([sys.executable, "-m", "benchmarks.throughput", unfolding.value])
        yield f"{unfolding.value}_images_per_second", float(output)


def images_per_second(unfolding: Unfolding) -> float:
    """The median over passes through the images, compiled and prepared beforehand."""
    config = RunConfig(unfolding=unfolding, images=IMAGES[unfolding])
    times = list(_pass_seconds(config))
    return config.images / statistics.median(times)


def _pass_seconds(config: RunConfig) -> Iterator[float]:
    from tapeworks.model import (
        datasets,  # this and the next load what the benchmark's own process can spare
    )
    from tapeworks.model.engine.gradients import engine
    from tapeworks.model.images import image_set
    from tapeworks.model.parameters import initial

    data, parameters = datasets.load(config).training, initial(config.built_in, config.seed)
    images, compute = image_set(config, 0), engine(config.spec)

    def one_pass() -> float:
        began = time.perf_counter()
        compute(parameters, data.images[images], data.labels[images])
        return time.perf_counter() - began

    one_pass()  # compiles and prepares
    end = time.perf_counter() + MEASURED_SECONDS
    while time.perf_counter() < end:
        yield one_pass()


if __name__ == "__main__":
    print(images_per_second(Unfolding(sys.argv[1])))
