"""Two workers against one, and where the time of an iteration goes: `make bench-scaling`.

Runs of MNIST's 3s and 6s through a private Redis, with one worker and with two by turns, in both
gradient forms. Told are medians over all iterations but each run's first. The files of MNIST are
looked for as `tapeworks train --dataset mnist` does: set TAPEWORKS_DATA_DIR.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.processes import TAPEWORKS, run
from benchmarks.rounds import announced, count
from model.config import GradientForm

#: Every 3 and 6 of MNIST's 10,000 test images.
IMAGES, ITERATIONS = 1968, 20

#: Iterations with their seconds, and the seconds that workers spent on their shards.
QUERY = """
SELECT i.seconds, sum(s.seconds) FROM iterations AS i
JOIN (SELECT DISTINCT iteration, shard, attempt, seconds FROM ledger) AS s USING (iteration)
WHERE i.iteration > 0 GROUP BY i.iteration
"""

#: Seconds of iterations, and parts of the workers' time that went into shards.
Samples = tuple[list[float], list[float]]


def main() -> None:
    """Measure by turns, print a table and a line for programs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--rounds", type=count, default=3, help="[default: 3]")
    samples: dict[tuple[str, int], Samples] = defaultdict(lambda: ([], []))
    rounds = parser.parse_args().rounds
    for _ in announced(rounds):
        for form in map(str, GradientForm):
            for workers in (1, 2):
                measure(form, workers, samples[form, workers])
    print("\n".join(_table(samples)))
    ratios = {form: _ratio(samples[form, 1], samples[form, 2]) for form in map(str, GradientForm)}
    told = " ".join(f"{form.replace('-', '_')}={ratio:.3f}" for form, ratio in ratios.items())
    print(f"scaling: {told}")


def _table(samples: dict[tuple[str, int], Samples]) -> Iterator[str]:
    yield f"{IMAGES} images in an iteration; what is not spent on shards is the workers' waiting"
    yield "gradients  workers  s/iteration  images/s  in shards"
    for (form, workers), (seconds, shares) in samples.items():
        median, share = statistics.median(seconds), statistics.median(shares)
        yield f"{form:10} {workers:7} {median:12.4f} {IMAGES / median:9,.0f} {share:10.1%}"


def measure(form: str, workers: int, samples: Samples, **variables: str) -> None:
    """One run in this gradient form with so many workers, in this environment."""
    with tempfile.TemporaryDirectory(prefix="tapeworks-bench-") as place:
        database = Path(place) / "runs.db"
        options = f"--dataset mnist --images {IMAGES} --iterations {ITERATIONS} --gradients {form}"
        command = [TAPEWORKS, "train", *options.split(), "--workers", str(workers)]
        command += ["--plot", str(Path(place) / "curve.svg")]
        data = os.environ.get("TAPEWORKS_DATA_DIR", "")
        run(command, TAPEWORKS_DATABASE_URL=str(database), TAPEWORKS_DATA_DIR=data, **variables)
        with closing(sqlite3.connect(database)) as connection:
            for seconds, in_shards in connection.execute(QUERY):
                samples[0].append(seconds)
                samples[1].append(in_shards / (workers * seconds))


def _ratio(one: Samples, two: Samples) -> float:
    return statistics.median(one[0]) / statistics.median(two[0])


if __name__ == "__main__":
    main()
