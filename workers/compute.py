"""From a shard's message to its answer's arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from model.average import microbatch_sums
from model.errors import ParametersError
from model.gradients import MicrobatchResult, engine
from model.parameters import Arrays, from_bytes, to_bytes
from workers.chunks import opened, pick
from workers.crash_points import CrashPoint, crash_point
from workers.messages import GRADIENT_NORMS, LOSSES, PREDICTIONS, ShardMessage, Wanted

#: Content by digest, of no more than so many bytes, or None where it cannot be had.
Fetch = Callable[[str, int], bytes | None]


class Missing(Exception):
    """Images or parameters that the shard needs are gone from Redis."""

    def __init__(self, digests: tuple[str, ...]) -> None:
        super().__init__(*digests)
        self.digests = digests


def shard_arrays(shard: ShardMessage, fetch: Fetch) -> bytes:
    """The answer's safetensors bytes. Raises `Missing`."""
    return to_bytes(answer_arrays(compute(shard, fetch), shard.wanted))


def compute(shard: ShardMessage, fetch: Fetch) -> list[MicrobatchResult]:
    """The shard's microbatches, one after the other, each as a whole."""
    largest = {shard.parameters_digest: shard.largest_parameters_bytes}
    largest |= dict.fromkeys(shard.chunks.values(), shard.largest_chunk_bytes)
    payloads = {name: fetch(name, most) for name, most in largest.items()}
    found = {name: payload for name, payload in payloads.items() if payload is not None}
    if len(found) < len(payloads):
        raise Missing(tuple(name for name in payloads if name not in found))
    crash_point(CrashPoint.PAYLOADS_FETCHED)
    parameters = from_bytes(found[shard.parameters_digest])
    _check_shapes(parameters, shard.network.shapes)
    chunks = opened({number: found[name] for number, name in shard.chunks.items()})
    results = []
    for microbatch in shard.microbatches:
        images, labels = pick(chunks, microbatch.images, shard.chunk_images)
        results.append(engine(shard.network)(parameters, images, labels))
    return results


def _check_shapes(parameters: Arrays, shapes: dict[str, tuple[int, ...]]) -> None:
    """Raise `ParametersError` for arrays for which another network would have to be compiled."""
    received = {name: array.shape for name, array in parameters.items()}
    if received != shapes or any(array.dtype != np.float32 for array in parameters.values()):
        raise ParametersError(
            f"Expected float32 parameters {', '.join(shapes)} of the message's network. "
            f"Received: {', '.join(sorted(received))[:400]}."
        )


def answer_arrays(results: list[MicrobatchResult], wanted: Wanted) -> Arrays:
    """What is returned of the results: a row per image, or for sums a row per microbatch."""
    arrays: Arrays = {
        LOSSES: np.concatenate([result.losses for result in results]),
        GRADIENT_NORMS: np.concatenate([result.gradient_norms for result in results]),
        PREDICTIONS: np.concatenate([result.predictions for result in results]),
    }
    if wanted is Wanted.NOTHING:
        return arrays
    if wanted is Wanted.SUMMED:
        sums = [microbatch_sums(result.gradients, len(result.losses)) for result in results]
        return arrays | {name: np.concatenate([s[name] for s in sums]) for name in sums[0]}
    names = results[0].gradients
    return arrays | {
        name: np.concatenate([result.gradients[name] for result in results]) for name in names
    }
