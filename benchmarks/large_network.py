"""A network of five million parameters of a user's: `python -m benchmarks.large_network`.

A scheduler, two workers that are given the file, and a Redis as processes of their own; every
iteration's parameters are kept, and those of every Nth.

The last line is for programs:

seconds_per_iteration   a median
scheduler_mb, worker_mb, redis_mb
                        the most that they ever held, of the larger worker; as resident pages, of
                        Redis what it had allocated
sql_mb, sql_every_mb    parameters in SQL, with all of them kept and with every Nth
"""

from __future__ import annotations

import argparse
import statistics
from contextlib import closing
from dataclasses import dataclass

import redis

from benchmarks.large_run import peak_memory
from benchmarks.processes import TAPEWORKS
from benchmarks.rounds import at_least, count
from benchmarks.site import SCHEDULER, WORKERS, Site
from benchmarks.train_run import read_history
from tests.support.large_network import PARAMETERS, save_files

PROCESSES = 2

#: First iterations whose time does not count: in them workers compile and fetch the images.
WARM_UP = 2

#: Seconds that an iteration may take, and the run beside.
ITERATION_SECONDS, OTHER_SECONDS = 30.0, 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One run; all sizes in megabytes."""

    seconds: float  #: of an iteration
    scheduler: float
    worker: float
    redis: float
    sql: float  #: parameters


def measure(images: int, iterations: int, checkpoint_every: int) -> Measured:
    """Drive a run of so many iterations to its end."""
    with Site() as site:
        command = [TAPEWORKS, "worker", "--processes", str(PROCESSES)]
        site.start_workers([*command, "--networks", str(site.place)], PROCESSES)
        options = f"{save_files(site.place, images)} --iterations {iterations}"
        with closing(redis.Redis.from_url(site.redis_url)) as client:
            site.submit(f"{options} --checkpoint-every {checkpoint_every}")
            for _ in site.follow(OTHER_SECONDS + ITERATION_SECONDS * iterations):
                pass
            used = client.info("memory")["used_memory_peak"]
        families = site.families()
        [kept] = site.ask("SELECT sum(length(parameters)) FROM stored_checkpoints")
        return Measured(
            seconds=statistics.median(read_history(site.database, WARM_UP)[0]),
            scheduler=peak_memory(families[SCHEDULER][0]) / 1e6,
            worker=max(map(peak_memory, families[WORKERS][1:])) / 1e6,
            redis=used / 1e6,
            sql=kept / 1e6,
        )


def main() -> None:
    """Drive both runs, then print the line for programs."""
    arguments = _arguments()
    images, iterations = arguments.images, arguments.iterations
    every = measure(images, iterations, 1)
    some = measure(images, iterations, arguments.checkpoint_every)
    print(
        f"large_network: parameters={PARAMETERS} images={images} iterations={iterations} "
        f"seconds_per_iteration={every.seconds:.3f} scheduler_mb={every.scheduler:.0f} "
        f"worker_mb={every.worker:.0f} redis_mb={every.redis:.0f} sql_mb={every.sql:.0f} "
        f"sql_every_mb={some.sql:.0f}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.large_network",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=count, default=512, help="[default: 512]")
    parser.add_argument(
        "--iterations", type=at_least(WARM_UP + 2), default=10, help="[default: 10]"
    )
    parser.add_argument("--checkpoint-every", type=count, default=5, help="[default: 5]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
