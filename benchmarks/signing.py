"""The cost of signing: runs with a key and without, by turns: `make bench-signing`.

Every 3 and 6 of MNIST's 10,000 test images, through a private Redis with two workers, in both
gradient forms. Told are medians over all iterations but each run's first ones.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

from benchmarks.rounds import announced, count
from benchmarks.train_run import Job, time_train
from tapeworks.model.networks.spec import GradientForm
from tapeworks.wire.signing import SHORTEST_KEY_BYTES, VARIABLE

WORKERS = 2

JOB = Job(images=1968, iterations=20)

SIGNED, UNSIGNED = "signed", "unsigned"

#: The forms in which gradients are returned.
FORMS = [GradientForm.PER_IMAGE.value, GradientForm.SUMMED.value]


def main() -> None:
    """Measure by turns, print a table and a line for programs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.signing", description=__doc__)
    parser.add_argument("--rounds", type=count, default=5, help="[default: 5]")
    samples: dict[tuple[str, str], list[float]] = defaultdict(list)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="tapeworks-bench-") as place:
        key = Path(place) / "signing_key"
        key.write_text(secrets.token_hex(SHORTEST_KEY_BYTES))
        ways = {UNSIGNED: {}, SIGNED: {VARIABLE: str(key)}}
        for _ in announced(rounds):
            for form in FORMS:
                for way, variables in ways.items():
                    timing = time_train(JOB, workers=WORKERS, gradients=form, variables=variables)
                    samples[form, way] += timing.periods
    print(f"{JOB.images} images in an iteration, {WORKERS} workers")
    print("gradients  messages  s/iteration  images/s")
    seconds = {key: statistics.median(periods) for key, periods in samples.items()}
    for (form, way), median in seconds.items():
        print(f"{form:10} {way:8} {median:12.4f} {JOB.images / median:9,.0f}")
    costs = {form: seconds[form, SIGNED] / seconds[form, UNSIGNED] - 1 for form in FORMS}
    told = " ".join(f"{form.replace('-', '_')}={cost:+.3f}" for form, cost in costs.items())
    print(f"signing: {told}")


if __name__ == "__main__":
    main()
