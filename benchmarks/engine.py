"""Per-image gradients by Tapeworks, the seed's program, JAX and PyTorch: `make bench-engine`.

Every engine waits in a process of its own; round after round each computes for a moment while the
others wait, so that a slow minute of the machine falls on all. What is told are medians. Before
anything is measured, all must give the same gradients.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks import turns
from benchmarks.cores import cores
from benchmarks.engine_process import PRODUCTS, build
from benchmarks.engine_report import LABELS, PEERS, Samples, table, told
from benchmarks.problem import Problem
from benchmarks.rounds import announced
from benchmarks.rounds import count as round_count
from tapeworks.model.config import RunConfig
from tapeworks.model.networks.builtin.spec import BuiltinNetwork

#: How nearly all engines must agree: parts of an array's largest entry.
TOLERANCE = 1e-5

#: Images that are given at once, as a shard's are to Tapeworks' engine. Peers get the sizes that
#: suit them; the seed's program prepares an image for two seconds.
COUNTS: dict[str, tuple[int, ...]] = {
    "seed": (2,),
    "full": (2,),
    "layerwise": (16, 32, 64, 128, 256, 1024),
    **dict.fromkeys(PEERS, (32, 64, 256)),
}

#: Engines and images at once that are measured on all cores too, with a process on each.
ON_ALL_CORES = [("torch", 256), ("jax-convolution", 64), ("layerwise", 256)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """An engine that waits in its process to be asked."""

    engine: str
    count: int
    waiting: turns.Waiting


def main() -> None:
    """Check, measure, print."""
    arguments = _arguments()
    turns.limit_threads()
    network = BuiltinNetwork(
        image_side=arguments.image_side,
        kernel_sizes=arguments.kernel_sizes,
        filters=arguments.filters,
        class_count=arguments.classes,
    )
    engines = available(network)
    waiting = [start(library, 1, network) for library in PRODUCTS]
    waiting += [start(engine, count, network) for engine in engines for count in COUNTS[engine]]
    check([running for running in waiting if running.engine not in PRODUCTS])
    samples = measured(waiting, arguments.rounds)
    print("\n".join(table(samples, network)), flush=True)
    print("\n".join(all_cores(engines, network, arguments.rounds)))
    print(told(samples, network))


def available(network: BuiltinNetwork) -> list[str]:
    """The engines that can compute this network here; says which cannot, and why."""
    engines = ["full", "layerwise"]
    if network == BuiltinNetwork():
        engines.insert(0, "seed")
    for engine in PEERS:
        module = engine.split("-")[0]
        if importlib.util.find_spec(module):
            engines.append(engine)
        else:
            print(f"{LABELS[engine]} is left out: pip install {module}", file=sys.stderr)
    return engines


def check(waiting: Sequence[Running]) -> None:
    """Exit unless all give the same gradients: those of the largest call, as far as they go."""
    expected = max(waiting, key=lambda running: running.count).waiting.answer()
    for running in waiting:
        for name, array in running.waiting.answer().items():
            wanted = expected[name][: running.count]
            off = float(np.abs(array - wanted).max() / np.abs(wanted).max())
            if not off <= TOLERANCE:
                label = f"{LABELS[running.engine]}, {running.count} images"
                sys.exit(f"{label}: {name} is off by {off:.1e} of its largest entry.")


def measured(waiting: Sequence[Running], rounds: int) -> Samples:
    """Images per second of every engine and count, and products per second, round by round."""
    samples: Samples = defaultdict(list)
    for _ in announced(rounds):
        for running in waiting:
            rate = running.waiting.measure() * running.count
            samples[running.engine, running.count].append(rate)
    for running in waiting:
        running.waiting.close()
    return samples


def all_cores(engines: Iterable[str], network: BuiltinNetwork, rounds: int) -> Iterator[str]:
    """Lines with images per second of a process on each core, all at the same time."""
    yield ""
    yield f"{f'All {len(cores())} cores, a process on each':36} images   images/s"
    for engine, count in ON_ALL_CORES:
        if engine not in engines:
            continue
        crew = [start(engine, count, network, place) for place in range(len(cores()))]
        totals = []
        for _ in range(rounds):
            for running in crew:
                running.waiting.begin()
            totals.append(count * sum(running.waiting.rate() for running in crew))
        for running in crew:
            running.waiting.close()
        yield f"{LABELS[engine]:36} {count:6} {statistics.median(totals):10,.0f}"


def start(engine: str, count: int, network: BuiltinNetwork, place: int = 0) -> Running:
    """A process that has compiled and computed once, on this core."""
    try:
        waiting = turns.start(
            partial(build, engine, Problem(network=network, count=count)), place=place
        )
    except turns.NotStartedError as error:
        sys.exit(f"{LABELS.get(engine, engine)} did not start: {error}.")
    return Running(engine=engine, count=count, waiting=waiting)


def _arguments() -> argparse.Namespace:
    default = RunConfig()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--rounds", type=round_count, default=5, help="[default: 5]")
    parser.add_argument("--image-side", type=int, default=default.image_side)
    parser.add_argument("--kernel-sizes", type=_sizes, default=default.kernel_sizes)
    parser.add_argument("--filters", type=int, default=default.filters)
    parser.add_argument("--classes", type=int, default=len(default.classes))
    return parser.parse_args()


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


if __name__ == "__main__":
    main()
