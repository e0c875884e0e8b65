"""The report of the paced benchmark: tables, a formula, a picture and a line for programs."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.pacing.paced_run import Measured
from benchmarks.pacing.points import Point
from benchmarks.site import REDIS, SCHEDULER, WORKERS

#: The fleets that show what a shard costs beyond what an iteration does.
FEW_SHARDS, MANY_SHARDS = Point(workers=16, shard_ms=100), Point(workers=64, shard_ms=100)

#: Where a worker's own time is read: shards follow each other so fast that little of it is the
#: heartbeat's.
BUSY = Point(workers=16, shard_ms=64)

#: Times of a shard for which the formula is drawn, in milliseconds, and the most workers.
DRAWN_MS, MOST_WORKERS = (26, 100, 256, 1000), 300

#: Efficiencies for which it is told how many workers have them.
EFFICIENCIES = (0.9, 0.8, 0.5)

#: Dots per inch of a picture of 8 by 5 inches.
RESOLUTION = 110


@dataclass(frozen=True, slots=True)
class Results:
    """Runs by their points, and the peers' seconds per iteration."""

    paced: dict[Point, list[Measured]] = field(default_factory=lambda: defaultdict(list))
    fleets: dict[Point, list[Measured]] = field(default_factory=lambda: defaultdict(list))
    peers: dict[tuple[str, Point], list[float]] = field(default_factory=lambda: defaultdict(list))


def paced_table(results: Results) -> list[str]:
    """Markdown: efficiencies beside those of the peers, and processor times in milliseconds."""
    if not results.paced:
        return []
    names = list(dict.fromkeys(name for name, _ in results.peers))
    heads = ["workers × time of a shard", "Tapeworks", *(name.capitalize() for name in names)]
    heads += ["scheduler, an iteration", "worker, a shard"]
    return [
        _row(heads),
        _row(["---"] * len(heads)),
        *(_row(_paced_cells(results, point, names)) for point in results.paced),
    ]


def _paced_cells(results: Results, point: Point, names: list[str]) -> Iterator[str]:
    runs = results.paced[point]
    each = f", {point.each} each" if point.each > 1 else ""
    yield f"{point.workers} × {point.shard_ms} ms{each}"
    yield f"{point.efficiency(_period(runs)):.3f}"
    for name in names:
        yield f"{point.efficiency(statistics.median(results.peers[name, point])):.3f}"
    yield f"{_processor_ms(runs, SCHEDULER):.1f} ms"
    yield f"{_processor_ms(runs, WORKERS) / point.shards:.2f} ms"


def fleets_table(results: Results) -> list[str]:
    """Markdown: efficiencies of the fleets, and processor times in milliseconds."""
    if not results.fleets:
        return []
    heads = ["workers × time of a shard", "added round trip", "efficiency"]
    heads += ["scheduler, an iteration", "Redis, a shard", "fleet, a shard", "sent again"]
    return [
        _row(heads),
        _row(["---"] * len(heads)),
        *(_row(_fleet_cells(point, runs)) for point, runs in results.fleets.items()),
    ]


def _fleet_cells(point: Point, runs: list[Measured]) -> Iterator[str]:
    yield f"{point.workers} × {point.shard_ms} ms"
    yield f"{1000 * statistics.median(run.round_trip for run in runs):.1f} ms"
    yield f"{point.efficiency(_period(runs)):.3f}"
    yield f"{_processor_ms(runs, SCHEDULER):.1f} ms"
    for kind in (REDIS, WORKERS):
        yield f"{_processor_ms(runs, kind) / point.shards:.2f} ms"
    yield str(sum(run.sent_again for run in runs))


def formula(results: Results) -> list[str]:
    """Return what an iteration takes beyond its shards, from the fleets, and what follows."""
    if len(_near(results)) < 2:
        return []
    fixed, each = fitted(results)
    return [
        "```text",
        f"iteration = time of a shard + {1000 * fixed:.1f} ms + {1000 * each:.2f} ms × shards",
        "```",
        "",
        *worth_table(fixed, each),
    ]


def worth_table(fixed: float, each: float) -> list[str]:
    """Markdown: the most workers that are still as efficient, by the time of their shards."""
    heads = ["time of a shard", *(f"{part:.0%} computing" for part in EFFICIENCIES)]
    return [
        _row(heads),
        _row(["---"] * len(heads)),
        *(_row(_worth_cells(shard_ms, fixed, each)) for shard_ms in DRAWN_MS),
    ]


def _worth_cells(shard_ms: int, fixed: float, each: float) -> Iterator[str]:
    yield f"{shard_ms:,} ms"
    for part in EFFICIENCIES:
        workers = (shard_ms / 1000 * (1 - part) / part - fixed) / each
        yield f"{workers:,.0f}" if workers >= 1 else "none"


def fitted(results: Results) -> tuple[float, float]:
    """Seconds that an iteration takes beyond its shards: in any case, and for each shard.

    The sum of the squares of relative errors is the least that it can be.
    """
    points = _near(results)
    beyond = [_period(results.fleets[point]) - point.ideal_seconds for point in points]
    rows = [[1 / each, point.shards / each] for each, point in zip(beyond, points, strict=True)]
    fixed, each = np.linalg.lstsq(np.array(rows), np.ones(len(rows)), rcond=None)[0]
    return float(fixed), float(each)


def draw(results: Results, path: Path) -> None:
    """Draw efficiency over workers: the formula's curves and the measured fleets, into a PNG."""
    from matplotlib.figure import Figure  # slow to load, and needs no display this way

    fixed, each = fitted(results)
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    workers = np.geomspace(1, MOST_WORKERS, 200)
    for number, shard_ms in enumerate(DRAWN_MS):
        seconds = shard_ms / 1000
        curve = seconds / (seconds + fixed + each * workers)
        axes.plot(workers, curve, color=f"C{number}", label=f"{shard_ms} ms")
        of_this = [point for point in _near(results) if point.shard_ms == shard_ms]
        found = [point.efficiency(_period(results.fleets[point])) for point in of_this]
        axes.plot([point.workers for point in of_this], found, "o", color=f"C{number}")
    axes.set_xscale("log", base=2)
    axes.set_xticks([2**power for power in range(9)], labels=[2**power for power in range(9)])
    axes.set_ylim(0, 1)
    axes.set_xlabel("Workers, one shard each")
    axes.set_ylabel("Part of the time in which workers compute")
    axes.set_title("One scheduler; dots are measured, lines are the formula", loc="left")
    axes.grid(alpha=0.3)
    axes.legend(title="Time of a shard", frameon=False)
    figure.savefig(path, format="png", dpi=RESOLUTION)


def told(results: Results) -> str:
    """Return the line for programs, with what was measured."""
    values = dict(_values(results))
    return " ".join(["paced:", *(f"{name}={value:.3f}" for name, value in values.items())])


def _values(results: Results) -> Iterator[tuple[str, float]]:
    for (name, point), seconds in results.peers.items():
        yield f"{name}_{point.name}", statistics.median(seconds) / _period(results.paced[point])
    if {FEW_SHARDS, MANY_SHARDS} <= results.fleets.keys():
        few, many = (_processor_ms(results.fleets[p], SCHEDULER) for p in (FEW_SHARDS, MANY_SHARDS))
        each = (many - few) / (MANY_SHARDS.shards - FEW_SHARDS.shards)
        yield "scheduler_ms_per_shard", each
        yield "scheduler_ms_per_iteration", few - FEW_SHARDS.shards * each
    if BUSY in results.paced:
        yield "worker_ms_per_shard", _processor_ms(results.paced[BUSY], WORKERS) / BUSY.shards
    for kind, found in (("paced", results.paced), ("fleet", results.fleets)):
        for point, runs in found.items():
            yield f"{kind}_{point.name}", point.efficiency(_period(runs))


def _near(results: Results) -> list[Point]:
    """The fleets without an added round trip."""
    return [point for point in results.fleets if not point.round_trip_ms]


def _period(runs: list[Measured]) -> float:
    return statistics.median(seconds for run in runs for seconds in run.periods)


def _processor_ms(runs: list[Measured], kind: str) -> float:
    """Processor time that an iteration takes of these processes."""
    return 1000 * statistics.median(run.processor[kind] for run in runs)


def _row(cells: Iterator[str] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"
