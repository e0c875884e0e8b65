"""The figures of the scaling benchmark, as tables for people and a line for programs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from tapeworks.model.networks.spec import GradientForm

#: Seconds by the images of an iteration and by what was measured.
Samples = dict[tuple[int, str], list[float]]

#: What an iteration takes, each busy process on a core of its own.
PINNED_IN_PROCESS = "one process, no queue"
DDP = "PyTorch DDP, two processes"
SEED_PROGRAM = "the seed's program"

#: What an iteration and a whole command take as users start it.
IN_PROCESS, WHOLE = "iteration, `--workers 0`", "whole, `--workers 0`"
DEFAULT, DEFAULT_WHOLE = "iteration, no `--workers`", "whole, no `--workers`"


def with_workers(workers: int, form: GradientForm) -> str:
    """Return the name of runs with so many workers."""
    return f"{workers} {'worker' if workers == 1 else 'workers'}, {form.value}"


def bare_engines(form: GradientForm) -> str:
    """Return the name of two engines that are given a shard each, and do nothing else."""
    return f"two bare engines, {form.value}"


SMALL = with_workers(2, GradientForm.PER_IMAGE)  #: in the form that `auto` chooses
LARGE = with_workers(2, GradientForm.SUMMED)  #: likewise
BARE = bare_engines(GradientForm.SUMMED)  #: beside `LARGE`

#: Images of a small iteration, of a large one, and of the seed's.
FEW, MANY, SEEDS = 64, 1968, 50

#: Quotients of the last line: images, what stands above, what below.
QUOTIENTS = {
    "two_workers": (MANY, PINNED_IN_PROCESS, LARGE),
    "engine_share": (MANY, BARE, LARGE),
    "small_vs_alone": (FEW, PINNED_IN_PROCESS, SMALL),
    "small_vs_ddp": (FEW, DDP, SMALL),
    "large_vs_ddp": (MANY, DDP, LARGE),
    "seed": (SEEDS, SEED_PROGRAM, SMALL),
    **{f"default_{images}": (images, WHOLE, DEFAULT_WHOLE) for images in (64, 2000, 9000)},
    **{f"default_iteration_{images}": (images, IN_PROCESS, DEFAULT) for images in (64, 2000, 9000)},
}

_OF_COMMANDS = (IN_PROCESS, DEFAULT, WHOLE, DEFAULT_WHOLE)


def medians(samples: Samples) -> dict[tuple[int, str], float]:
    """The median of each, in seconds."""
    return {key: statistics.median(values) for key, values in samples.items() if values}


def iterations_table(samples: Samples) -> list[str]:
    """Markdown: what an iteration takes, and images per second."""
    found = {key: s for key, s in medians(samples).items() if key[1] not in _OF_COMMANDS}
    if not found:
        return []
    lines = ["| images | computed by | iteration | images/s |", "|---|---|---|---|"]
    return lines + [
        f"| {images:,} | {way} | {1000 * seconds:,.1f} ms | {images / seconds:,.0f} |"
        for (images, way), seconds in found.items()
    ]


def defaults_table(samples: Samples) -> list[str]:
    """Markdown: `train` without --workers beside `train --workers 0`."""
    found = medians(samples)
    sizes = sorted(images for images, way in found if way == DEFAULT_WHOLE)
    if not sizes:
        return []
    lines = [f"| images | {' | '.join(_OF_COMMANDS)} |", "|---|---|---|---|---|"]
    return lines + [_command_row(images, found) for images in sizes]


def _command_row(images: int, found: Mapping[tuple[int, str], float]) -> str:
    iterations = [f"{1000 * found[images, way]:,.1f} ms" for way in (IN_PROCESS, DEFAULT)]
    commands = [f"{found[images, way]:,.1f} s" for way in (WHOLE, DEFAULT_WHOLE)]
    return f"| {images:,} | {' | '.join(iterations + commands)} |"


def told(samples: Samples) -> str:
    """Return the line for programs: every quotient whose two parts were measured."""
    found = medians(samples)
    values = {
        name: found[images, above] / found[images, below]
        for name, (images, above, below) in QUOTIENTS.items()
        if (images, above) in found and (images, below) in found
    }
    return " ".join(["scaling:", *(f"{name}={value:.3f}" for name, value in values.items())])
