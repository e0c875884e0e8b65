"""The report of the benchmark of users' networks: tables, and the line for programs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

from benchmarks.network_process import MICROBATCH, PER_IMAGE, SUMMED

KERAS, KERAS_FIT = KERAS_WAYS = "keras", "keras-fit"
TORCH, TORCH_COMPILED = "torch", "torch-compiled"
VMAP, VMAP_COMPILED, OPACUS = "vmap", "vmap-compiled", "opacus"

LABELS = {
    MICROBATCH: "Tapeworks, `microbatch`",
    KERAS: "Keras, `train_on_batch`",
    KERAS_FIT: "Keras, `fit`",
    TORCH: "PyTorch, eager",
    TORCH_COMPILED: "PyTorch, `torch.compile`",
    PER_IMAGE: "Tapeworks, `per-image`",
    SUMMED: "Tapeworks, `summed`",
    VMAP: "PyTorch, `vmap(grad)`",
    VMAP_COMPILED: "PyTorch, `torch.compile` of it",
    OPACUS: "Opacus",
}

#: Seconds per image, by network and way, one of each round.
Samples = Mapping[tuple[str, str], Sequence[float]]

#: Seconds of iterations, by the number of workers.
Iterations = Mapping[int, Sequence[float]]

#: Quotients of the last line: the network, what is compared with it, and our own way.
QUOTIENTS = {
    "lenet_keras_ratio": ("lenet", KERAS_WAYS, MICROBATCH),
    "resnet_keras_ratio": ("resnet", KERAS_WAYS, MICROBATCH),
    "lenet_vmap_ratio": ("lenet", (VMAP,), PER_IMAGE),
}


def ways_table(samples: Samples, networks: Sequence[str]) -> list[str]:
    """Markdown: microseconds per image of each way, a column for each network."""
    ways = [way for way in LABELS if any((name, way) in samples for name in networks)]
    if not ways:
        return []
    head = " | ".join(f"`{name}.py`" for name in networks)
    lines = [f"| µs per image | {head} |", "|---|" + "---|" * len(networks)]
    rows = ([LABELS[way], *_cells(samples, networks, way)] for way in ways)
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def _cells(samples: Samples, networks: Iterable[str], way: str) -> Iterator[str]:
    for name in networks:
        seconds = samples.get((name, way))
        yield f"{1e6 * statistics.median(seconds):,.0f}" if seconds else ""


def workers_table(iterations: Iterations, images: int) -> list[str]:
    """Markdown: what an iteration takes with so many workers."""
    if not iterations:
        return []
    lines = [f"| {images:,} images an iteration | iteration | images/s |", "|---|---|---|"]
    for workers, seconds in sorted(iterations.items()):
        median = statistics.median(seconds)
        way = f"{workers} workers" if workers else "one process, no queue"
        lines.append(f"| {way} | {1000 * median:,.1f} ms | {images / median:,.0f} |")
    return lines


def told(samples: Samples, iterations: Iterations) -> str:
    """The line for programs: every quotient whose parts were measured; above 1 we are faster."""
    found = {key: statistics.median(seconds) for key, seconds in samples.items()}
    values = {}
    for name, (network, peers, ours) in QUOTIENTS.items():
        theirs = [found[network, way] for way in peers if (network, way) in found]
        if theirs and (network, ours) in found:
            values[name] = min(theirs) / found[network, ours]
    alone, together = iterations.get(0), iterations.get(2)
    if alone and together:
        values["two_workers_ratio"] = statistics.median(alone) / statistics.median(together)
    return " ".join(["networks:", *(f"{name}={value:.3f}" for name, value in values.items())])
