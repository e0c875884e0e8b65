"""One run of a point: images that show nothing, how long iterations take, and who used what."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import psutil
import redis

from benchmarks.pacing.points import MICROBATCH_IMAGES, Point
from benchmarks.site import Site
from benchmarks.train_run import WARM_UP, read_history

#: Seconds that a run may take beyond ten times what it would take at best.
RUN_SECONDS = 60.0

#: Pings that tell how long a round trip takes.
PINGS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """The resources that a run has used up to some moment."""

    iterations: int
    processor: Mapping[str, float]  #: seconds, by the kind of process


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One run."""

    periods: list[float]  #: seconds from one iteration's start to the next one's
    processor: Mapping[str, float]  #: seconds that an iteration takes, by the kind of process
    sent_again: int  #: attempts beyond one for each shard
    round_trip: float  #: seconds that were added between the scheduler and Redis


def measure(site: Site, point: Point, iterations: int) -> Measured:
    """Drive a run of this point to its end."""
    _submit(site, point, iterations)
    usages = list(_usages(site, 10 * iterations * point.ideal_seconds + RUN_SECONDS))
    first, last = usages[0], usages[-1]
    count = last.iterations - first.iterations
    used = {name: last.processor[name] - before for name, before in first.processor.items()}
    return Measured(
        periods=read_history(site.database)[0],
        processor={name: seconds / count for name, seconds in used.items()},
        sent_again=site.ask("SELECT sum(attempts - shards) FROM iterations")[0],
        round_trip=_round_trip(site.scheduler_url) - _round_trip(site.redis_url),
    )


def _submit(site: Site, point: Point, iterations: int) -> None:
    data, source = site.place / "images.npz", np.random.default_rng(1)
    images = source.integers(0, 256, (point.images, 28, 28)).astype(np.uint8)
    np.savez(data, images=images, labels=np.resize([3, 6], point.images))
    site.submit(
        f"--dataset {data} --images {point.images} --iterations {iterations} --gradients summed "
        f"--shards {point.shards} --microbatch-size {MICROBATCH_IMAGES}"
    )


def _usages(site: Site, seconds: float) -> Iterator[Usage]:
    """Yield what was used, since the run is warm."""
    families = site.families()
    for done in site.follow(seconds):
        if done >= WARM_UP:
            used = {name: sum(map(_processor, family)) for name, family in families.items()}
            yield Usage(iterations=done, processor=used)


def _processor(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _round_trip(url: str) -> float:
    with closing(redis.Redis.from_url(url)) as client:
        return statistics.median(_ping(client) for _ in range(PINGS))


def _ping(client: redis.Redis) -> float:
    began = time.perf_counter()
    client.ping()
    return time.perf_counter() - began
