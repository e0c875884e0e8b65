"""The share of the workers' time that is computing: `make bench-paced`.

Workers that wait instead of computing let two cores hold dozens of them; scheduler, Redis, Celery,
messages, answers and the database are real. Efficiency is the time in which a worker computes its
shards, divided by the time of an iteration. Beside Tapeworks Ray's actors and Dask's tasks do the
same in the same round, if they are installed. Then one process that speaks for a whole fleet
leaves a core to the scheduler: with it a scheduler is measured alone, with and without a longer
way to Redis.

The last line is for programs:

ray_WxT, dask_WxT       efficiency with W workers and shards of T ms: Tapeworks / Ray or Dask
paced_WxT               efficiency of Tapeworks there
fleet_WxT, fleet_WxT_2ms
                        efficiency of the fleet, without and with 2 ms of added round trip
scheduler_ms_per_shard, scheduler_ms_per_iteration
                        processor time of the scheduler, from the fleets of 16 and 64 workers with
                        shards of 100 ms: what each further shard takes, and the rest
worker_ms_per_shard     processor time of a worker beside computing, with 16 workers and shards of
                        64 ms
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.document import fill
from benchmarks.pacing.paced_run import measure
from benchmarks.pacing.points import FLEETS, PACED, SHARD_IMAGES, Point
from benchmarks.pacing.report import Results, draw, fleets_table, formula, paced_table, told
from benchmarks.processes import run
from benchmarks.rounds import announced, at_least, count
from benchmarks.site import Site
from benchmarks.train_run import WARM_UP

#: Peers by their module here and by the package that they need.
PEERS = {"ray": "benchmarks.peers.ray_actors", "dask": "benchmarks.peers.dask_tasks"}

#: Seconds of a run at the least: processor time is read between commits, two of them a second.
FEWEST_SECONDS = 3

Measure = Callable[[Results], None]


def main() -> None:
    """Measure round after round, then print the tables and the line for programs."""
    arguments = _arguments()
    results = Results()
    measures = list(_measures(arguments.points, arguments.seconds))
    for _ in announced(arguments.rounds):
        for take in measures:
            take(results)
    tables = {
        "paced": paced_table(results),
        "fleets": fleets_table(results),
        "formula": formula(results),
    }
    print("\n\n".join("\n".join(lines) for lines in tables.values() if lines))
    if arguments.document:
        fill(arguments.document, tables)
    if arguments.plot:
        draw(results, arguments.plot)
    print(told(results))


def _measures(names: list[str] | None, seconds: float) -> Iterator[Measure]:
    peers = {name: module for name, module in PEERS.items() if importlib.util.find_spec(name)}
    for name in PEERS.keys() - peers.keys():
        print(f"{name} is left out: pip install '.[bench]'", file=sys.stderr)
    for point in PACED:
        if names is None or point.name in names:
            yield partial(_paced, point, point.iterations(seconds))
            for name, module in peers.items():
                yield partial(_peer, name, module, point, point.iterations(seconds))
    for point in FLEETS:
        if names is None or f"fleet_{point.name}" in names:
            yield partial(_fleet, point, point.iterations(seconds))


def _paced(point: Point, iterations: int, results: Results) -> None:
    with Site() as site:
        seconds = point.shard_ms / 1000 / SHARD_IMAGES
        site.start_workers(_program("workers", point, seconds), point.workers)
        results.paced[point].append(measure(site, point, iterations))


def _fleet(point: Point, iterations: int, results: Results) -> None:
    with Site(round_trip_ms=point.round_trip_ms, apart=True) as site:
        site.start_workers(_program("fleet", point, point.shard_ms / 1000), point.workers)
        results.fleets[point].append(measure(site, point, iterations))


def _program(name: str, point: Point, seconds: float) -> list[str]:
    """Return what stands in for this point's workers."""
    return [sys.executable, "-m", f"benchmarks.pacing.{name}", str(point.workers), str(seconds)]


def _peer(name: str, module: str, point: Point, iterations: int, results: Results) -> None:
    numbers = point.workers, point.shard_ms / 1000, point.each, SHARD_IMAGES, iterations
    _, output = run([sys.executable, "-m", module, *map(str, numbers)])
    # Its last line: Ray writes warnings before it.
    results.peers[name, point] += json.loads(output.splitlines()[-1])[WARM_UP:]


def _arguments() -> argparse.Namespace:
    known = [point.name for point in PACED] + [f"fleet_{point.name}" for point in FLEETS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paced",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=count, default=2, help="[default: 2]")
    parser.add_argument(
        "--seconds",
        type=at_least(FEWEST_SECONDS),
        default=8,
        help="of each point in a round [default: 8]",
    )
    parser.add_argument(
        "--points", nargs="+", choices=known, metavar="POINT", help=f"only of {', '.join(known)}"
    )
    parser.add_argument("--document", type=Path, help="write the tables into docs/scaling.md")
    parser.add_argument("--plot", type=Path, help="draw efficiency over workers, .png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
