"""Times the main job beside the seed's own program: `make bench`.

Every round measures everything once, one after the other, so that a slow minute of the machine
falls on all of them; what is told is the median over the rounds. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import runs_command, seed_job, throughput, train_job
from benchmarks.rounds import announced, count

#: Measured values by name, one per round or more.
Samples = dict[str, list[float]]
Measure = Callable[[Path], Iterator[tuple[str, float]]]

#: The lines of the table: what is measured, and how a person reads it.
LABELS = {
    "empty_python_seconds": "python -c pass [s]",
    "runs_command_seconds": f"tapeworks runs, {runs_command.RUNS} runs stored [s]",
    "first_iteration_seconds": "tapeworks train, to the first iteration [s]",
    "job_seconds": "tapeworks train, to the end [s]",
    "seed_prepare_image_seconds": "the seed's program, to prepare an image [s]",
    "seed_iteration_seconds": "the seed's program, an iteration [s]",
    "seed_job_seconds": "the seed's program, to the end{scaled} [s]",
    "full_images_per_second": "one process, full unfolding [images/s]",
    "layerwise_images_per_second": "one process, layerwise unfolding [images/s]",
}

#: What the last line tells, for programs.
TOLD = ("first_iteration_seconds", "job_seconds", "seed_job_seconds")


def main() -> None:
    """Measure round after round, then print the table and the line for programs."""
    arguments = _arguments()
    seed: Measure = functools.partial(seed_job.measure, full=arguments.full)
    measures: list[Measure] = [runs_command.measure, train_job.measure, seed, throughput.measure]
    samples = measured(measures, arguments.repeat)
    print(
        "\n".join([*headline(arguments.full), *table(samples, arguments.full), "", told(samples)])
    )


def measured(measures: Sequence[Measure], rounds: int) -> Samples:
    """All that the measures give, round by round."""
    samples: Samples = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="tapeworks-bench-") as directory:
        for _ in announced(rounds):
            for measure in measures:
                for name, value in measure(Path(directory)):
                    samples[name].append(value)
    return samples


def headline(full: bool) -> list[str]:
    """Return what was measured, and what was not."""
    job = f"{train_job.IMAGES} digits images x {train_job.ITERATIONS} iterations"
    lines = [f"{job}, {train_job.WORKERS} workers, a private Redis"]
    if not full:
        lines.append(
            "The seed's program is SCALED: in each round it prepared "
            f"{seed_job.MEASURED_IMAGES} of {train_job.IMAGES} images and ran "
            f"{seed_job.MEASURED_ITERATIONS} of {train_job.ITERATIONS} iterations; "
            "--full runs it whole."
        )
    return [*lines, ""]


def table(samples: Samples, full: bool) -> Iterator[str]:
    """A line per quantity: median, lowest and highest."""
    labels = {name: LABELS[name].format(scaled="" if full else ", SCALED") for name in samples}
    width = max(map(len, labels.values()))
    yield f"{'':{width}}  {'median':>9} {'lowest':>9} {'highest':>9}"
    for name, values in samples.items():
        shown = statistics.median(values), min(values), max(values)
        yield f"{labels[name]:{width}}  " + " ".join(f"{value:9.3f}" for value in shown)
    yield f"{'tapeworks runs / python -c pass':{width}}  {runs_ratio(samples):9.1f}"
    yield f"{'the seed / tapeworks train':{width}}  {seed_ratio(samples):9.1f}"


def told(samples: Samples) -> str:
    """The line for programs."""
    values = {name: statistics.median(samples[name]) for name in TOLD}
    values["seed_ratio"] = seed_ratio(samples)
    values["runs_command_seconds"] = statistics.median(samples["runs_command_seconds"])
    return "main_job: " + " ".join(f"{name}={value:.3f}" for name, value in values.items())


def seed_ratio(samples: Samples) -> float:
    """Return how many times longer the seed's program takes for the main job."""
    return _ratio(samples, "seed_job_seconds", "job_seconds")


def runs_ratio(samples: Samples) -> float:
    """Return how many times longer the listing takes than a Python that does nothing."""
    return _ratio(samples, "runs_command_seconds", "empty_python_seconds")


def _ratio(samples: Samples, above: str, below: str) -> float:
    return statistics.median(samples[above]) / statistics.median(samples[below])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.main_job", description=__doc__)
    parser.add_argument("--repeat", type=count, default=3, help="rounds [default: 3]")
    parser.add_argument(
        "--full", action="store_true", help="run the seed's program whole, minutes per round"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
