"""What an iteration costs scheduler, workers, Redis and database: `make bench-sizing`.

A scheduler, a worker and a private Redis as processes of their own. For each number of images and
each gradient form a short and a longer run of the same settings are driven; the difference of what
both took, divided by the difference of their iterations, is what one iteration takes, without what
a run needs once. MNIST's files are looked for in TAPEWORKS_DATA_DIR.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.rounds import announced, count
from benchmarks.sizing_site import Costs, Site
from model.config import GradientForm

#: Images of an iteration.
IMAGES = (64, 256, 1024)

#: Iterations of the two runs that are compared, and of one before, which warms up.
WARM_UP, FEW, MANY = 3, 10, 50

#: Costs of an iteration, by gradient form and images.
Samples = dict[tuple[str, int], list[Costs]]


def main() -> None:
    """Measure round after round, then print the tables and a line for programs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizing", description=__doc__)
    parser.add_argument("--rounds", type=count, default=3, help="[default: 3]")
    samples: Samples = defaultdict(list)
    memory: list[tuple[float, float]] = []
    data = os.environ.get("TAPEWORKS_DATA_DIR", "")
    for _ in announced(parser.parse_args().rounds):
        with (
            tempfile.TemporaryDirectory(prefix="tapeworks-bench-") as place,
            Site(Path(place), data) as site,
        ):
            for images in IMAGES:
                for form in map(str, GradientForm):
                    samples[form, images].append(_iteration(site, form, images))
            memory.append(site.memory_bytes())
    medians = {key: _median(costs) for key, costs in samples.items()}
    print("\n".join([*_table(medians), *_memory(memory), _told(medians)]))


def _iteration(site: Site, form: str, images: int) -> Costs:
    """What one iteration takes."""
    site.run(form, images, WARM_UP)
    few, many = site.run(form, images, FEW), site.run(form, images, MANY)
    return many.beyond(few, MANY - FEW)


def _median(costs: list[Costs]) -> Costs:
    return Costs(
        **{
            name: statistics.median(getattr(one, name) for one in costs)
            for name in Costs.__dataclass_fields__
        }
    )


def workers_fed(costs: Costs) -> float:
    """Workers that keep one scheduler's core busy: worker seconds for one of its seconds."""
    return costs.worker_seconds / costs.scheduler_seconds


def _table(medians: Mapping[tuple[str, int], Costs]) -> Iterator[str]:
    yield "An iteration takes: bytes into and out of Redis, its memory at the most, bytes of the"
    yield "database (without parameters), seconds of processor time, and how many workers keep a"
    yield "scheduler busy"
    yield (
        "gradients  images        in       out    memory  database  worker  scheduler   Redis"
        "  workers"
    )
    for (form, images), costs in medians.items():
        yield (
            f"{form:10} {images:6} {costs.in_bytes:9,.0f} {costs.out_bytes:9,.0f} "
            f"{costs.memory_bytes:9,.0f} {costs.database_bytes:9,.0f} {costs.worker_seconds:7.4f} "
            f"{costs.scheduler_seconds:10.4f} {costs.redis_seconds:7.4f} {workers_fed(costs):8.1f}"
        )


def _memory(samples: list[tuple[float, float]]) -> Iterator[str]:
    for name, values in zip(("worker", "scheduler"), zip(*samples, strict=True), strict=True):
        yield f"memory of a {name}: {statistics.median(values) / 1e6:,.0f} MB"


def _told(medians: Mapping[tuple[str, int], Costs]) -> str:
    largest = {form: costs for (form, images), costs in medians.items() if images == IMAGES[-1]}
    values = [
        f"{form.replace('-', '_')}_workers_fed={workers_fed(costs):.1f} "
        f"{form.replace('-', '_')}_bytes_per_image={costs.in_bytes / IMAGES[-1]:.0f}"
        for form, costs in largest.items()
    ]
    return f"sizing: {' '.join(values)}"


if __name__ == "__main__":
    main()
