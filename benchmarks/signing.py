"""What signing costs: runs with a key and without, by turns: `make bench-signing`.

The job is that of `benchmarks.scaling`, through a private Redis with two workers, in both gradient
forms. Told are medians over all iterations but each run's first.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

from benchmarks.rounds import announced, count
from benchmarks.scaling import IMAGES, Samples, measure
from model.config import GradientForm
from workers.signing import SHORTEST_KEY_BYTES, VARIABLE

WORKERS = 2

SIGNED, UNSIGNED = "signed", "unsigned"


def main() -> None:
    """Measure by turns, print a table and a line for programs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.signing", description=__doc__)
    parser.add_argument("--rounds", type=count, default=5, help="[default: 5]")
    samples: dict[tuple[str, str], Samples] = defaultdict(lambda: ([], []))
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="tapeworks-bench-") as place:
        key = Path(place) / "signing_key"
        key.write_text(secrets.token_hex(SHORTEST_KEY_BYTES))
        ways = {UNSIGNED: {}, SIGNED: {VARIABLE: str(key)}}
        for _ in announced(rounds):
            for form in map(str, GradientForm):
                for way, variables in ways.items():
                    measure(form, WORKERS, samples[form, way], **variables)
    print(f"{IMAGES} images in an iteration, {WORKERS} workers")
    print("gradients  messages  s/iteration  images/s")
    seconds = {key: statistics.median(of) for key, (of, _) in samples.items()}
    for (form, way), median in seconds.items():
        print(f"{form:10} {way:8} {median:12.4f} {IMAGES / median:9,.0f}")
    forms = map(str, GradientForm)
    costs = {form: seconds[form, SIGNED] / seconds[form, UNSIGNED] - 1 for form in forms}
    told = " ".join(f"{form.replace('-', '_')}={cost:+.3f}" for form, cost in costs.items())
    print(f"signing: {told}")


if __name__ == "__main__":
    main()
