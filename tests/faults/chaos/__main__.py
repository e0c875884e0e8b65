"""Strikes real trainings with seeded faults and judges what is left: `make chaos`.

For every seed and database: the run is computed undisturbed, then again by two schedulers and
several workers while processes, links, Redis and database fail; where runs can be audited, once
more with a worker whose lies have the right form. Exit code 1 if an image was missed
or counted twice, if bits differ, or if a run did not complete.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.rounds import count
from tests.faults.chaos.commands import offers_audit
from tests.faults.chaos.control import control, control_lines
from tests.faults.chaos.drill import Order, drill
from tests.faults.chaos.figure import draw
from tests.faults.chaos.journal import read
from tests.faults.chaos.report import seed_lines, told, total_lines
from tests.faults.chaos.world import Shape

DATABASES = ("sqlite", "postgresql")


def main() -> int:
    """Seed after seed, then the table over all, then the line for programs."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends everything, as Ctrl-C does
    directory = arguments.log or Path(tempfile.mkdtemp(prefix="tapeworks-chaos-"))
    print(f"Journals and the processes' own words: {directory}", file=sys.stderr)
    outcomes = []
    for order in _orders(arguments):
        print(f"{order.name} begins", file=sys.stderr, flush=True)
        outcomes.append(drill(order, directory / order.name))
        print("\n".join(seed_lines(outcomes[-1])), flush=True)
    if arguments.figure:
        draw(read(directory / outcomes[0].order.name / "journal.jsonl"), arguments.figure)
    if arguments.control:
        for seed in arguments.seeds:
            done = control(seed, arguments.faults, directory / f"control-{seed}")
            print("\n".join(control_lines(done)), flush=True)
    print("\n".join(total_lines(outcomes)))
    print(told(outcomes))
    return 0 if all(outcome.is_good for outcome in outcomes) else 1


def _orders(arguments: argparse.Namespace) -> Iterator[Order]:
    for database in DATABASES if arguments.database is None else [arguments.database]:
        shape = Shape(database=database)
        for seed in arguments.seeds:
            yield Order(seed=seed, faults=arguments.faults, shape=shape)
        if offers_audit():
            yield Order(seed=arguments.seeds[0], faults=arguments.faults, shape=shape, audit=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.chaos", description=__doc__)
    parser.add_argument("--seeds", type=_seeds, default=[1, 2, 3], help="[default: 1,2,3]")
    parser.add_argument("--faults", type=count, default=35, help="for each seed [default: 35]")
    parser.add_argument("--database", choices=DATABASES, help="[default: one after the other]")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the first seed")
    parser.add_argument("--control", action="store_true", help="then the usual Celery way")
    parser.add_argument(
        "--log", type=Path, metavar="DIRECTORY", help="for journals [default: a temporary one]"
    )
    return parser.parse_args()


def _seeds(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
