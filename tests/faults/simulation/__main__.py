"""Run simulated schedules: `--schedules 100000`, or `--seed N` for one with its whole log.

Every call draws its first seed and prints it, unless `--first-seed` names one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
from collections import Counter

from tests.faults.simulation.schedule import Failure, Schedule, Seen

#: Schedules between two lines about the progress.
PROGRESS = 1000

#: First seeds are drawn below.
LARGEST_SEED = 10**9


def _tried(seed: int) -> tuple[Seen | None, str]:
    try:
        return Schedule(seed).run(), ""
    except Failure as failure:
        return None, str(failure)


def _replay(seed: int) -> int:
    schedule = Schedule(seed, whole_log=True)
    try:
        seen = schedule.run()
    except Failure as failure:
        print(failure)
        return 1
    print(*schedule.world.log, sep="\n")
    print(f"Seed {seed}: complete after {seen.seconds:.1f} simulated seconds.")
    return 0


def _many(first: int, count: int, processes: int) -> int:
    print(f"Schedules {first} to {first + count - 1}", flush=True)
    began, failures, longest, kinds = time.perf_counter(), 0, 0.0, Counter[str]()
    with multiprocessing.Pool(processes) as pool:
        tried = pool.imap_unordered(_tried, range(first, first + count), 100)
        for done, (seen, problem) in enumerate(tried):
            if done and done % PROGRESS == 0:
                print(f"{done} of {count} schedules", file=sys.stderr, flush=True)
            if seen is None:
                failures += 1
                print(problem, end="\n\n", flush=True)
            else:
                longest = max(longest, seen.after_faults)
                kinds.update(seen.kinds)
    print(*(f"{kinds[kind]:8} schedules saw {kind}" for kind in sorted(kinds)), sep="\n")
    print(
        f"{count} schedules from first seed {first}, {failures} failed, in "
        f"{time.perf_counter() - began:.0f} seconds; "
        f"complete at most {longest:.0f} simulated seconds after faults stopped."
    )
    return 1 if failures else 0


def main() -> int:
    """0 if every schedule came out right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=2000, help="how many to run")
    parser.add_argument("--first-seed", type=int, help="drawn, if none is named")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--seed", type=int, help="replay this one and show its whole log")
    options = parser.parse_args()
    if options.seed is not None:
        return _replay(options.seed)
    first = options.first_seed
    if first is None:
        first = random.SystemRandom().randrange(LARGEST_SEED)
    return _many(first, options.schedules, options.processes)


if __name__ == "__main__":
    sys.exit(main())
