"""Bytes that a run will store in the database, estimated from its configuration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tapeworks.model.config import RunConfig
from tapeworks.model.networks.spec import Network
from tapeworks.model.update import count_remembered

#: Above it a user is told before the run is stored.
LARGE_BYTES = 100e6

#: Bytes of an iteration's row, of a shard in its ledger, and of a checkpoint's row beside its
#: arrays, which fills a database's last page in part.
ITERATION_BYTES, SHARD_BYTES, CHECKPOINT_BYTES = 300, 30, 3_000

#: Bytes of a row that SQLite keeps in its tree; of a longer one the last page is half empty.
LARGEST_LOCAL_BYTES, HALF_PAGE_BYTES = 1_000, 2_000

#: Shards of an iteration where their number follows the workers, which are not known yet.
USUAL_SHARDS = 4

#: Checkpoints or recorded iterations of a run that are proposed instead.
PROPOSED = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Footprint:
    """The parts of what a run stores, as far as a setting makes them less."""

    checkpoints: int  #: that are kept
    checkpoint_bytes: int  #: of all of them
    image_bytes: int  #: of values of single images, in all iterations that record them
    other_bytes: int

    @property
    def total_bytes(self) -> int:
        """Bytes of everything."""
        return self.checkpoint_bytes + self.image_bytes + self.other_bytes


def estimate_footprint(config: RunConfig) -> Footprint:
    """Estimate what a run stores if it computes all of its iterations."""
    network, images = config.spec, config.images_in_an_iteration
    arrays = 1 + count_remembered(config.optimizer)
    recorded = 1 + _count_nths(config, config.recording_interval)
    shards = config.shards or USUAL_SHARDS
    checkpoints = 1 + _count_nths(config, config.checkpoint_every)
    values = images * _bytes_of_an_image(config, network)
    values += HALF_PAGE_BYTES if values > LARGEST_LOCAL_BYTES else 0
    return Footprint(
        checkpoints=checkpoints,
        checkpoint_bytes=checkpoints * (arrays * 4 * network.parameter_count + CHECKPOINT_BYTES),
        image_bytes=round(recorded * values),
        other_bytes=config.iterations * (ITERATION_BYTES + shards * SHARD_BYTES),
    )


def describe_footprint(configs: Sequence[RunConfig]) -> str | None:
    """Return a sentence for runs that will store much, with the setting that makes it less."""
    footprints = [estimate_footprint(config) for config in configs]
    total = sum(one.total_bytes for one in footprints)
    if total < LARGE_BYTES:
        return None
    kept, single = (
        sum(getattr(one, name) for one in footprints)
        for name in ("checkpoint_bytes", "image_bytes")
    )
    iterations = max(config.iterations for config in configs)
    if kept >= single:
        count = sum(one.checkpoints for one in footprints)
        most, option = f"{count:,} checkpoints of {_size(kept / count)}", "checkpoint-every"
    else:
        most, option = "the values of single images", "record-images-every"
    runs = "This run" if len(configs) == 1 else f"These {len(configs)} runs"
    less = max(iterations // PROPOSED, 2)
    return (
        f"{runs} will store some {_size(total)} in the database, most of it {most}; less with "
        f"--{option} {less}"
    )


def _count_nths(config: RunConfig, every: int) -> int:
    """Count the iterations that are one of so many, evaluated, or the last."""
    last, evaluated = config.iterations, config.evaluate_every
    count = last // every
    if evaluated:
        count += last // evaluated - last // math.lcm(every, evaluated)
    is_last = last % every == 0 or bool(evaluated and last % evaluated == 0)
    return count + (not is_last)


def _bytes_of_an_image(config: RunConfig, network: Network) -> float:
    """Bytes of a loss, a norm and the image's number, and the bits of a packed prediction."""
    has_norms = network.has_norms(config.gradient_form)
    numbers = 1 + has_norms + (config.images_per_iteration is not None)
    classes = network.classes_predicted
    bits = next(width for width in (0, 1, 2, 4, 8) if (classes or 1) <= 1 << width)
    return 4 * numbers + bits / 8


def _size(count: float) -> str:
    """A number of bytes as people say it, in two digits."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return (
                f"{count / unit:,.1f} {name}"
                if count < 10 * unit
                else f"{count / unit:,.0f} {name}"
            )
    return f"{count:.0f} bytes"
