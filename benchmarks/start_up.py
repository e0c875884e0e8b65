"""The processor time of a worker's start, and of TensorFlow loaded our way and the plain way."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator

from benchmarks.processes import run
from benchmarks.rounds import announced, count

#: Prints the processor time of each part of a worker's start.
OURS = """
import json, time
def lap(name, before):
    seconds[name] = time.process_time() - before
    return time.process_time()
seconds = {}
now = lap("python", 0.0)
import tapeworks.workers.tasks, tapeworks.workers.worker
now = lap("queue", now)
import tapeworks.model.engine.runtime
now = lap("tensorflow", now)
from tapeworks.model.fingerprint import fingerprint
fingerprint()
lap("compiling", now)
print(json.dumps(seconds))
"""

#: The same of TensorFlow as everybody loads it, with our flags.
PLAIN = """
import json, os, time
from tapeworks.model.engine.flags import FLAGS
import tapeworks.workers.tasks, tapeworks.workers.worker
os.environ.update(FLAGS)
now = time.process_time()
import tensorflow
print(json.dumps({"plain_tensorflow": time.process_time() - now}))
"""


def main() -> None:
    """Measure by turns, and print medians and the ratio of the two ways."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start_up", description=__doc__)
    parser.add_argument("--rounds", type=count, default=7, help="of each way, by turns")
    rounds = parser.parse_args().rounds
    seconds = defaultdict[str, list[float]](list)
    ratios = []
    for _ in announced(rounds):
        found = dict(_measure())
        for name, value in found.items():
            seconds[name].append(value)
        ratios.append(found["tensorflow"] / found["plain_tensorflow"])
    for name, values in seconds.items():
        print(f"{name:16}  {statistics.median(values):5.2f} s of processor time")
    print(f"start_up: tensorflow_ratio={statistics.median(ratios):.3f}")


def _measure() -> Iterator[tuple[str, float]]:
    for program in (OURS, PLAIN):
        _, printed = run([sys.executable, "-c", program])
        yield from json.loads(printed).items()


if __name__ == "__main__":
    main()
