"""The web page over a large history: times of its pages, and open pages' share: `make bench-web`.

Fills an SQLite file, then a PostgreSQL database, with made-up runs as `make bench-history` does,
one run of many iterations and one that goes on. Asks a `tapeworks web` on a core of its own, over
HTTP. Told are medians; `cold` is the first time since the server's start.
"""

from __future__ import annotations

import argparse

import psutil

from benchmarks.cores import pin
from benchmarks.history.engines import NAMES, empty_address
from benchmarks.history.filling import fill
from benchmarks.rounds import count
from benchmarks.web import report
from benchmarks.web.looks import RUNS_PAGE, Subjects, list_open_pages, list_pages
from benchmarks.web.measuring import measure_open_pages, measure_pages, measure_slow_query
from benchmarks.web.report import Results
from benchmarks.web.scenes import Scene, add_long_run, begin_training
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History

#: Iterations that are committed in a second while pages are open.
PER_SECOND = 10.0


def main() -> None:
    """Fill and ask each database, print tables and a line for programs for each."""
    options = _options()
    lines = []
    for engine in options.engine or NAMES:
        with empty_address(engine) as address:
            scene = prepare(address, options)
            results = measure(scene, options)
            scene.close()
        print(report.table(engine, results))
        lines.append(report.line(engine, results))
    print("\n".join(lines))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.web", description=__doc__)
    parser.add_argument("--runs", type=count, default=20_000, help="[default: 20000]")
    parser.add_argument(
        "--iterations", type=count, default=2_000_000, help="of all runs [default: 2000000]"
    )
    parser.add_argument(
        "--long", type=count, default=100_000, help="iterations of one more run [default: 100000]"
    )
    parser.add_argument("--rounds", type=count, default=5, help="[default: 5]")
    parser.add_argument(
        "--seconds", type=count, default=60, help="that pages are open [default: 60]"
    )
    parser.add_argument("--engine", choices=NAMES, action="append", help="[default: both]")
    return parser.parse_args()


def prepare(address: str, options: argparse.Namespace) -> Scene:
    """Fill an empty database."""
    history = History(Database(address))
    fill(history.database, options.runs, options.iterations // options.runs)
    long = add_long_run(history.database, options.long)
    training = begin_training(history)
    subjects = Subjects(runs=options.runs, long=long, trains=training.claim.run_id)
    return Scene(address=address, subjects=subjects, training=training)


def measure(scene: Scene, options: argparse.Namespace) -> Results:
    """Measure all there is, one after the other."""
    _pin_all()
    pages, left_open = list_pages(scene.subjects), list_open_pages(scene.subjects)
    times = measure_pages(scene.serve, pages, options.rounds)
    slow = measure_slow_query(scene.serve, pages[RUNS_PAGE])
    quiet = measure_open_pages(scene.serve, left_open, options.seconds)
    with scene.training.keep_committing(PER_SECOND):
        busy = measure_open_pages(scene.serve, left_open, options.seconds)
    return Results(times=times, slow=slow, quiet=quiet, busy=busy)


def _pin_all() -> None:
    """Give this process, and a database server that it has started, the second core."""
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        pin(process.pid, 1)


if __name__ == "__main__":
    main()
