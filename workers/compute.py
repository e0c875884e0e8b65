"""From a shard's message to its answer's arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tapeworks.model.datasets.source import Images, Labels
from tapeworks.model.errors import ParametersError
from tapeworks.model.parameters import Arrays, to_bytes
from tapeworks.wire.chunks import pick
from tapeworks.wire.messages import ShardMessage

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
    # TensorFlow with it, which takes seconds: a worker says that it loads it.
    from tapeworks.model.engine.slices import answer_arrays, compute_slices

    found = fetch(shard)
    if missing := tuple(name for name in shard.payload_limits if name not in found):
        raise Missing(missing)
    parameters = found[shard.parameters_digest]
    _check_shapes(parameters, shard.network.shapes)
    chunks = {number: found[name] for number, name in shard.chunks.items()}
    numbers = np.array(shard.images)

    def take(rows: slice) -> tuple[Images, Labels]:
        return pick(chunks, numbers[rows], shard.chunk_images, shard.network)

    results = compute_slices(shard.network, parameters, len(numbers), take, shard.wanted)
    return answer_arrays(results, shard.network, shard.wanted, shard.first_microbatch)


def _check_shapes(parameters: Arrays, shapes: dict[str, tuple[int, ...]]) -> None:
    """Raise `ParametersError` for arrays for which another network would have to be compiled."""
    received = {name: array.shape for name, array in parameters.items()}
    if received != shapes or any(array.dtype != np.float32 for array in parameters.values()):
        raise ParametersError(
            f"Expected float32 parameters {', '.join(shapes)} of the message's network. "
            f"Received: {', '.join(sorted(received))[:400]}."
        )
