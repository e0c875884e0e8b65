"""A large history: how fast it answers and how much room it takes: `make bench-history`.

Fills an SQLite file, then a PostgreSQL database, with made-up runs as the default run writes them
(50 images, two classes, two workers), without parameters. Told are medians of what `runs`, `show`
and `plot` ask, of the heaviest questions of docs/queries.md, and the bytes of an iteration.
"""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.history.engines import NAMES, empty_database
from benchmarks.history.filling import fill
from benchmarks.history.measuring import commands, heaviest_questions, medians
from benchmarks.rounds import count
from tapeworks.storage.connection.database import Database
from tapeworks.storage.maintenance import table_sizes

#: Fillings between two words to whoever waits.
TOLD_EVERY = 20


def main() -> None:
    """Fill and ask each database, print a table and a line for programs for each."""
    options = _options()
    lines = []
    for engine in options.engine or NAMES:
        with empty_database(engine) as database:
            _fill(database, engine, options.runs, options.iterations // options.runs)
            lines.append(_measured(database, engine, options.runs, options.rounds))
    print("\n".join(lines))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    parser.add_argument("--runs", type=count, default=20_000, help="[default: 20000]")
    parser.add_argument(
        "--iterations", type=count, default=2_000_000, help="of all runs [default: 2000000]"
    )
    parser.add_argument("--rounds", type=count, default=7, help="[default: 7]")
    parser.add_argument("--engine", choices=NAMES, action="append", help="[default: both]")
    return parser.parse_args()


def _fill(database: Database, engine: str, runs: int, iterations: int) -> None:
    began = time.monotonic()

    def tell(done: int) -> None:
        if done == runs or done % (100 * TOLD_EVERY) == 0:
            seconds = time.monotonic() - began
            print(f"{engine}: {done:,} of {runs:,} runs after {seconds:.0f} s", file=sys.stderr)

    fill(database, runs, iterations, tell)


def _measured(database: Database, engine: str, runs: int, rounds: int) -> str:
    """Prints what was measured; the line for programs."""
    times = medians(commands(database, runs), rounds) | heaviest_questions(database, runs, rounds)
    print(f"{engine}, milliseconds")
    for name, milliseconds in times.items():
        print(f"  {milliseconds:8.1f}  {name}")
    sizes = {size.table: size for size in table_sizes(database)}
    iterations = sizes["stored_iterations"]
    each = iterations.bytes / iterations.rows
    everything = sum(size.bytes for size in sizes.values()) / iterations.rows
    print(f"  {each:8.1f}  bytes of an iteration, {everything:.1f} with its part of the run's rows")
    return (
        f"history: engine={engine} slowest_query_ms={max(times.values()):.1f} "
        f"bytes_per_iteration={each:.1f}"
    )


if __name__ == "__main__":
    main()
