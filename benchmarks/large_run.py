"""Iterations over 60,000 images of ten classes, and the memory that they take: `make bench-large`.

A scheduler, two workers and a Redis as processes of their own; MNIST's 10,000 test images, repeated
as often as needed, in an .npz file; `summed` gradients. MNIST's files are looked for as `tapeworks
train --dataset mnist` does: set TAPEWORKS_DATA_DIR.

The last line is for programs:

seconds_per_iteration   a median
scheduler_mb, worker_mb, redis_mb
                        the most that they ever held, of the larger worker; as resident pages, of
                        Redis what it had allocated
data_mb                 the images and labels themselves
chunks                  pieces into which the scheduler cuts the images
published, fetched      how often a chunk went into Redis, and out of it, on average
most_published, most_fetched
                        the same, of the chunk of which it is the most; two workers that fetch each
                        chunk once make 2
received_mb, sent_mb    by Redis in an iteration, without the images
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import redis

from benchmarks.document import fill
from benchmarks.key_accesses import KeyAccesses
from benchmarks.processes import TAPEWORKS
from benchmarks.rounds import at_least, count
from benchmarks.site import SCHEDULER, WORKERS, Site
from benchmarks.train_data import load_images
from benchmarks.train_run import read_history
from tapeworks.model.datasets.source import ImageData
from tapeworks.wire.chunks import make_chunks
from tapeworks.wire.keys import payload_key

CLASSES = "0,1,2,3,4,5,6,7,8,9"

#: Images that MNIST's test set has.
MNIST_IMAGES = 10_000

PROCESSES = 2

#: First iterations whose time does not count: in them workers fetch the images.
WARM_UP = 2

#: Seconds that an iteration may take for each image, and the run beside.
IMAGE_SECONDS, OTHER_SECONDS = 0.001, 60.0

#: Bytes that Redis has received and sent since its start, as it names them.
RECEIVED, SENT = "total_net_input_bytes", "total_net_output_bytes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """The run; all memory and traffic in bytes."""

    images: int
    data: int
    periods: Sequence[float]  #: seconds from one iteration's start to the next one's
    published: Sequence[int]  #: times, of each chunk
    fetched: Sequence[int]
    received: float  #: by Redis in an iteration, without the chunks
    sent: float
    scheduler: int
    worker: int
    redis: int


def main() -> None:
    """Drive the run, then print the table and the line for programs."""
    arguments = _arguments()
    with Site() as site:
        site.start_workers([TAPEWORKS, "worker", "--processes", str(PROCESSES)], PROCESSES)
        found = measure(site, arguments.images, arguments.iterations)
    lines = list(table(found))
    print("\n".join(lines))
    if arguments.document:
        fill(arguments.document, {"large": lines})
    print(told(found))


def measure(site: Site, images: int, iterations: int) -> Measured:
    """Drive a run of so many iterations over so many images to its end."""
    file = site.place / "images.npz"
    data = save_images(file, images)
    chunks = make_chunks(data.images, data.labels)
    options = f"--dataset {file} --classes {CLASSES} --images {images} --iterations {iterations}"
    with closing(redis.Redis.from_url(site.redis_url)) as client, KeyAccesses(client) as accesses:
        before = client.info()
        site.submit(f"{options} --gradients summed")
        for _ in site.follow(OTHER_SECONDS + IMAGE_SECONDS * images * iterations):
            pass
        after = client.info()
        published, fetched = accesses.of([payload_key(name) for name in chunks.digests])
    sizes = list(map(len, chunks.payloads))
    families = site.families()
    [scheduler], [_, *workers] = families[SCHEDULER], families[WORKERS]
    return Measured(
        images=images,
        data=data.images.nbytes + data.labels.nbytes,
        periods=read_history(site.database, WARM_UP)[0],
        published=published,
        fetched=fetched,
        received=(after[RECEIVED] - before[RECEIVED] - np.dot(sizes, published)) / iterations,
        sent=(after[SENT] - before[SENT] - np.dot(sizes, fetched)) / iterations,
        scheduler=peak_memory(scheduler),
        worker=max(map(peak_memory, workers)),
        redis=after["used_memory_peak"],
    )


def save_images(file: Path, images: int) -> ImageData:
    """Write so many of MNIST's images, repeated as often as needed."""
    source = load_images(min(images, MNIST_IMAGES), CLASSES)
    chosen = np.resize(np.arange(len(source.labels)), images)
    data = ImageData(images=source.images[chosen], labels=source.labels[chosen].astype(np.uint8))
    np.savez(file, images=data.images, labels=data.labels)
    return data


def peak_memory(process: psutil.Process) -> int:
    """The most resident memory that it ever had, or has now where the system does not tell."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return int(process.memory_info().rss)
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return 1024 * int(fields["VmHWM"].split()[0])


def told(found: Measured) -> str:
    """Return the line for programs."""
    return f"large_run: images={found.images} " + " ".join(
        f"{name}={value:.3f}" for name, value in _values(found)
    )


def table(found: Measured) -> Iterator[str]:
    """Markdown: one line for each value."""
    yield f"| {found.images:,} images in an iteration, {PROCESSES} workers | |"
    yield "|---|---|"
    values = dict(_values(found))
    for name, (label, unit) in LABELS.items():
        yield f"| {label} | {values[name]:,.{0 if unit == 'MB' else 2}f} {unit} |"


#: Values for people: what they are, and their unit.
LABELS = {
    "seconds_per_iteration": ("time of an iteration", "s"),
    "scheduler_mb": ("memory of the scheduler, at the most", "MB"),
    "data_mb": ("the images and labels themselves", "MB"),
    "worker_mb": ("memory of a worker, at the most", "MB"),
    "redis_mb": ("memory of Redis, at the most", "MB"),
    "published": ("a chunk of images went into Redis", "times"),
    "fetched": ("a chunk went out of Redis, to both workers together", "times"),
    "most_fetched": ("at the most", "times"),
    "received_mb": ("Redis receives in an iteration, without the images", "MB"),
    "sent_mb": ("Redis sends in an iteration, without the images", "MB"),
}


def _values(found: Measured) -> Iterator[tuple[str, float]]:
    yield "seconds_per_iteration", statistics.median(found.periods)
    for name in ("scheduler", "worker", "redis", "data", "received", "sent"):
        yield f"{name}_mb", getattr(found, name) / 1e6
    yield "chunks", len(found.published)
    for name, times in (("published", found.published), ("fetched", found.fetched)):
        yield name, statistics.mean(times)
        yield f"most_{name}", max(times)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.large_run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=count, default=60_000, help="[default: 60,000]")
    parser.add_argument(
        "--iterations", type=at_least(WARM_UP + 2), default=10, help="[default: 10]"
    )
    parser.add_argument("--document", type=Path, help="write the table into docs/scaling.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
