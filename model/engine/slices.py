"""Neighbouring images computed slice by slice, and joined into the arrays of one shard.

The same code for a worker's shard and for a whole iteration in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.engine.gradients import engine
from tapeworks.model.engine.results import EngineResult
from tapeworks.model.networks.kinds import AnyNetwork
from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import Arrays
from tapeworks.model.reduction import Reduction, merge_neighbours

#: Bytes that a slice's gradients and maps may take, some 900 images of the default network. It is
#: computed in less than a tenth of a second.
SLICE_BYTES = 32 * 2**20

#: Images and labels of these rows.
Take = Callable[[slice], tuple[NDArray[Any], NDArray[Any]]]


def compute_slices(
    network: AnyNetwork, parameters: Arrays, images: int, take: Take, wanted: GradientForm
) -> Iterator[EngineResult]:
    """Results of neighbouring images, from the first to the last, slice by slice.

    A slice has as many whole microbatches as take a moment to compute, and little memory.
    """
    size = _slice_images(network)
    for first in range(0, images, size):
        pixels, labels = take(slice(first, min(first + size, images)))
        yield engine(network)(parameters, pixels, labels, wanted)


def _slice_images(network: AnyNetwork) -> int:
    return max(SLICE_BYTES // network.slice_bytes, 1) * network.microbatch_size


def answer_arrays(
    results: Iterable[EngineResult],
    network: AnyNetwork,
    wanted: GradientForm,
    first_microbatch: int = 0,
) -> Arrays:
    """The answer's arrays: a row per image, for sums a row per block of the reduction tree.

    The results are those of neighbouring microbatches, computed as `wanted`; a result's last one
    may have fewer images only at the very end.
    """
    rows: list[Arrays] = []
    microbatch, sums = first_microbatch, _Sums()
    for result in results:
        rows.append(result.values)
        if wanted is GradientForm.PER_IMAGE:
            rows[-1] |= result.gradients
        elif wanted is GradientForm.SUMMED:
            count = -(-len(result.losses) // network.microbatch_size)
            sums.add(microbatch, count, merge_neighbours(result.gradients, microbatch))
            microbatch += count
    return _join_parts(rows) | sums.arrays()


class _Sums:
    """The blocks' sums of neighbouring slices; those of a single one are copied nowhere."""

    def __init__(self) -> None:
        self._first: tuple[int, int, Arrays] | None = None
        self._reduction: Reduction | None = None

    def add(self, first_microbatch: int, count: int, sums: Arrays) -> None:
        """Take the sums of the microbatches that follow."""
        if self._first is None:
            self._first = first_microbatch, count, sums
            return
        if self._reduction is None:
            self._reduction = Reduction()
            self._reduction.add(*self._first)
        self._reduction.add(first_microbatch, count, sums)

    def arrays(self) -> Arrays:
        """The sums of all; empty if there are none."""
        if self._reduction is not None:
            return self._reduction.sums()
        return self._first[2] if self._first is not None else {}


def _join_parts(parts: list[Arrays]) -> Arrays:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
