"""From a shard's message to its answer's arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.config import NetworkConfig, Unfolding
from model.errors import ParametersError
from model.gradients import MicrobatchResult, engine
from model.parameters import Arrays, to_bytes
from model.reduction import Reduction, block_sums
from workers.chunks import pick
from workers.crash_points import CrashPoint, crash_point
from workers.messages import GRADIENT_NORMS, LOSSES, PREDICTIONS, ShardMessage, Wanted

#: Images of a slice, if microbatches allow it: as many as the engine computes at once. Their
#: gradients are summed while they are in the processor's cache.
SLICE_IMAGES = 64

#: Bytes that a slice's gradients and maps may take, unless a single microbatch's take more.
SLICE_BYTES = 64 * 2**20

#: Images and labels of these rows.
Take = Callable[[slice], tuple[NDArray[np.uint8], NDArray[np.integer]]]

#: The shard's parameters and chunks of images by digest, but for those that cannot be had.
Fetch = Callable[[ShardMessage], Mapping[str, Arrays]]


class Missing(Exception):
    """Images or parameters that the shard needs are gone from Redis."""

    def __init__(self, digests: tuple[str, ...]) -> None:
        super().__init__(*digests)
        self.digests = digests


def shard_arrays(shard: ShardMessage, fetch: Fetch) -> bytes:
    """The answer's safetensors bytes. Raises `Missing`."""
    return to_bytes(compute(shard, fetch))


def compute(shard: ShardMessage, fetch: Fetch) -> Arrays:
    """The answer's arrays. Raises `Missing`."""
    found = fetch(shard)
    if missing := tuple(name for name in shard.payload_limits if name not in found):
        raise Missing(missing)
    crash_point(CrashPoint.PAYLOADS_FETCHED)
    parameters = found[shard.parameters_digest]
    _check_shapes(parameters, shard.network.shapes)
    chunks = {number: found[name] for number, name in shard.chunks.items()}
    numbers = np.array(shard.images)

    def take(rows: slice) -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
        return pick(chunks, numbers[rows], shard.chunk_images, shard.network.image_side)

    results = compute_slices(shard.network, parameters, len(numbers), take)
    return answer_arrays(results, shard.network, shard.wanted, shard.first_microbatch)


def _check_shapes(parameters: Arrays, shapes: dict[str, tuple[int, ...]]) -> None:
    """Raise `ParametersError` for arrays for which another network would have to be compiled."""
    received = {name: array.shape for name, array in parameters.items()}
    if received != shapes or any(array.dtype != np.float32 for array in parameters.values()):
        raise ParametersError(
            f"Expected float32 parameters {', '.join(shapes)} of the message's network. "
            f"Received: {', '.join(sorted(received))[:400]}."
        )


def compute_slices(
    network: NetworkConfig, parameters: Arrays, images: int, take: Take
) -> Iterator[MicrobatchResult]:
    """Results of neighbouring images, from the first to the last, some microbatches at a time."""
    size = _slice_images(network)
    for first in range(0, images, size):
        pixels, labels = take(slice(first, min(first + size, images)))
        yield _compute_images(network, parameters, pixels, labels)


def _slice_images(network: NetworkConfig) -> int:
    each = network.microbatch_bytes // network.microbatch_size
    if network.unfolding is Unfolding.FULL:
        each += network.unfolded_bytes
    size, most = network.microbatch_size, SLICE_BYTES // each
    whole = math.lcm(size, SLICE_IMAGES)
    return whole if whole <= most else max(min(most, SLICE_IMAGES) // size, 1) * size


def _compute_images(
    network: NetworkConfig, parameters: Arrays, images: NDArray[np.uint8], labels: NDArray[Any]
) -> MicrobatchResult:
    compute, size = engine(network), network.microbatch_size
    parts = [
        compute(parameters, images[first : first + size], labels[first : first + size])
        for first in range(0, len(images), size)
    ]
    return MicrobatchResult(
        gradients={
            name: np.concatenate([part.gradients[name] for part in parts])
            for name in network.shapes
        },
        losses=np.concatenate([part.losses for part in parts]),
        gradient_norms=np.concatenate([part.gradient_norms for part in parts]),
        predictions=np.concatenate([part.predictions for part in parts]),
    )


def answer_arrays(
    results: Iterable[MicrobatchResult],
    network: NetworkConfig,
    wanted: Wanted,
    first_microbatch: int = 0,
) -> Arrays:
    """What is returned of them: a row per image, for sums a row per block of the reduction tree.

    The results are those of neighbouring microbatches; a result's last one may have fewer images
    only at the very end.
    """
    parts: list[Arrays] = []
    microbatch, reduction = first_microbatch, Reduction()
    for result in results:
        parts.append(_values(result))
        if wanted is Wanted.PER_IMAGE:
            parts[-1] |= result.gradients
        elif wanted is Wanted.SUMMED:
            count = -(-len(result.losses) // network.microbatch_size)
            sums = block_sums(result.gradients, microbatch, network.microbatch_size)
            reduction.add(microbatch, count, sums)
            microbatch += count
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return arrays | reduction.sums() if wanted is Wanted.SUMMED else arrays


def _values(result: MicrobatchResult) -> Arrays:
    return {
        LOSSES: result.losses,
        GRADIENT_NORMS: result.gradient_norms,
        PREDICTIONS: result.predictions,
    }
