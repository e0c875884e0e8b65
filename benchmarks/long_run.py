"""Thousands of iterations in one run, to see what grows: `make bench-long`.

A scheduler, two workers and a Redis as processes of their own, and images so small that nearly all
of an iteration is what surrounds the computing. While the run is in progress its processes and
Redis are looked at. Told are medians over the run's first tenth and over its last one.

The last line is for programs. Each value is the last tenth's median / the first tenth's, so that 1
is flat:

time                    of an iteration
scheduler_memory, worker_memory, redis_memory
                        resident, of the larger worker; of Redis what it has allocated
keys, connections       of Redis
scheduler_descriptors, worker_descriptors
                        open files, of all workers together
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import redis

from benchmarks.document import fill
from benchmarks.processes import TAPEWORKS
from benchmarks.rounds import at_least
from benchmarks.site import SCHEDULER, WORKERS, Site
from benchmarks.train_run import WARM_UP, read_history

#: The run: two microbatches for two workers, whatever the size of the network.
OPTIONS = "--dataset digits --images 32 --image-side 9 --kernel-sizes 3,3 --filters 2"

#: Seconds that the run may take for each iteration, and beyond.
ITERATION_SECONDS, OTHER_SECONDS = 0.1, 60.0

#: Parts of the run, the first and the last of which are compared.
PARTS = 10

#: Dots per inch of a picture of 10 by 9 inches, and medians of iterations' times in it.
RESOLUTION, DRAWN_MEDIANS = 110, 100

TIME = "time"

#: What is told of each value: its name for people, and what it is divided by for them.
LABELS = {
    TIME: ("time of an iteration [ms]", 1e-3),
    "scheduler_memory": ("memory of the scheduler [MB]", 1e6),
    "worker_memory": ("memory of a worker [MB]", 1e6),
    "redis_memory": ("memory of Redis [MB]", 1e6),
    "keys": ("keys of Redis", 1),
    "connections": ("connections to Redis", 1),
    "scheduler_descriptors": ("open files of the scheduler", 1),
    "worker_descriptors": ("open files of the workers", 1),
}

#: What shares an axis of the picture.
AXES = {
    "ms": [TIME],
    "MB": ["scheduler_memory", "worker_memory", "redis_memory"],
    "number": ["keys", "connections", "scheduler_descriptors", "worker_descriptors"],
}


@dataclass(frozen=True, slots=True)
class Series:
    """Values over a run."""

    iterations: Sequence[int]  #: committed by then, ascending
    values: Sequence[float]

    def part(self, number: int, iterations: int) -> float:
        """Median over one of the `PARTS` of a run with so many iterations, or the nearest value."""
        ends = [iterations * end / PARTS for end in (number, number + 1)]
        first, end = np.searchsorted(self.iterations, ends, side="right")
        inside = self.values[first:end] or self.values[min(first, len(self.values) - 1) :][:1]
        return statistics.median(inside)


def main() -> None:
    """Drive the run, then print the table and the line for programs."""
    arguments = _arguments()
    with Site() as site:
        site.start_workers([TAPEWORKS, "worker", "--processes", "2"], 2)
        found = measure(site, arguments.iterations)
    lines = list(table(found, arguments.iterations))
    print("\n".join(lines))
    if arguments.document:
        fill(arguments.document, {"long": lines})
    if arguments.plot:
        draw(found, arguments.plot)
    print(told(found, arguments.iterations))


def measure(site: Site, iterations: int) -> dict[str, Series]:
    """Drive a run of so many iterations to its end."""
    site.submit(f"{OPTIONS} --iterations {iterations}")
    client, families = redis.Redis.from_url(site.redis_url), site.families()
    done, looks = list[int](), list[Mapping[str, float]]()
    for committed in site.follow(OTHER_SECONDS + ITERATION_SECONDS * iterations):
        if committed:  # before, the workers compile
            done.append(committed)
            looks.append(_look(families, client))
    client.close()
    periods, _ = read_history(site.database)
    first = iterations - len(periods)
    of_time = Series(range(first, iterations), periods)
    return {TIME: of_time} | {
        name: Series(done, [look[name] for look in looks]) for name in looks[0]
    }


def _look(families: Mapping[str, list[psutil.Process]], client: redis.Redis) -> dict[str, float]:
    [scheduler], [_, *workers] = families[SCHEDULER], families[WORKERS]
    info = client.info()
    return {
        "scheduler_memory": scheduler.memory_info().rss,
        "worker_memory": max(worker.memory_info().rss for worker in workers),
        "redis_memory": info["used_memory"],
        "keys": info.get("db0", {}).get("keys", 0),
        "connections": info["connected_clients"],
        "scheduler_descriptors": scheduler.num_fds(),
        "worker_descriptors": sum(worker.num_fds() for worker in workers),
    }


def table(found: Mapping[str, Series], iterations: int) -> Iterator[str]:
    """Markdown: medians over the first and the last part of the run, and the largest value."""
    yield f"| {iterations:,} iterations | first tenth | last tenth | at the most |"
    yield "|---|---|---|---|"
    for name, series in found.items():
        label, unit = LABELS[name]
        parts = (series.part(number, iterations) for number in (0, PARTS - 1))
        shown = (f"{value / unit:,.1f}" for value in (*parts, max(series.values)))
        yield f"| {label} | {' | '.join(shown)} |"


def told(found: Mapping[str, Series], iterations: int) -> str:
    """Return the line for programs."""
    quotients = {
        name: series.part(PARTS - 1, iterations) / series.part(0, iterations)
        for name, series in found.items()
    }
    values = (f"{name}={quotient:.3f}" for name, quotient in quotients.items())
    return f"long_run: iterations={iterations} {' '.join(values)}"


def draw(found: Mapping[str, Series], path: Path) -> None:
    """Draw all values over the iterations, into a PNG."""
    from matplotlib.figure import Figure  # slow to load, and needs no display this way

    figure = Figure(figsize=(10, 9), layout="constrained")
    for axes, (unit, names) in zip(
        figure.subplots(len(AXES), sharex=True), AXES.items(), strict=True
    ):
        for name in names:
            label, divisor = LABELS[name]
            series = _smoothed(found[name]) if name == TIME else found[name]
            axes.plot(series.iterations, np.divide(series.values, divisor), label=label)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(unit)
        axes.grid(alpha=0.3)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    axes.set_xlabel("Iteration")
    figure.suptitle("One run with two workers")
    figure.savefig(path, format="png", dpi=RESOLUTION)


def _smoothed(series: Series) -> Series:
    """Return medians of neighbours."""
    parts = np.array_split(np.arange(len(series.values)), min(DRAWN_MEDIANS, len(series.values)))
    return Series(
        [series.iterations[part[-1]] for part in parts],
        [statistics.median(series.values[part[0] : part[-1] + 1]) for part in parts],
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.long_run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--iterations", type=at_least(WARM_UP + 2), default=10_000, help="[default: 10,000]"
    )
    parser.add_argument("--document", type=Path, help="write the table into docs/scaling.md")
    parser.add_argument("--plot", type=Path, help="draw all values over the iterations, .png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
