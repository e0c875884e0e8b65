"""Sums and means of gradients along a fixed binary tree: the same bits in any order.

A block is a node of the tree, the microbatches [index·2^level, (index+1)·2^level) of an image set.
Its sum is the left half's plus the right half's; where the image set ends before the right half
begins, it is the left half's, unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import Arrays

Sum = NDArray[np.float64]


def microbatch_sums(gradients: Arrays, microbatch_size: int) -> Arrays:
    """Per parameter, each microbatch's sum over its images, added in image order to 0.

    From (images, *shape) to (microbatches, *shape) float64; the last one may have fewer images.
    """
    return {name: _sum_groups(array, microbatch_size) for name, array in gradients.items()}


def gradients_as_wanted(gradients: Arrays, wanted: GradientForm, microbatch_size: int) -> Arrays:
    """Of per-image gradients: themselves, their sums by microbatch, or nothing."""
    if wanted is GradientForm.SUMMED:
        return microbatch_sums(gradients, microbatch_size)
    return gradients if wanted is GradientForm.PER_IMAGE else {}


def mean_gradient(total: Arrays, image_count: int) -> Arrays:
    """The float32 mean of that many images, from their float64 sum."""
    return {name: (array / image_count).astype(np.float32) for name, array in total.items()}


def total_loss(losses: NDArray[np.floating]) -> float:
    """The loss of an iteration: its images' losses added in image order, in float64."""
    from_zero = np.concatenate([np.zeros(1), losses])
    return float(np.add.accumulate(from_zero)[-1])


def global_norm(gradient: Arrays) -> float:
    """Euclidean norm over all parameters together."""
    squares = [np.square(array.astype(np.float64)).sum() for array in gradient.values()]
    return float(np.sqrt(reduce(add, squares, 0.0)))  # Python's own sum has other bits from 3.12 on


def _sum_groups(array: NDArray[Any], size: int) -> NDArray[np.float64]:
    rows = np.ascontiguousarray(array).reshape(len(array), -1)
    whole, columns = len(rows) // size, rows.shape[1]
    sums = np.empty((-(-len(rows) // size), columns))
    _add_in_order(rows[: whole * size].reshape(whole, size, columns), sums[:whole])
    if whole < len(sums):
        _add_in_order(rows[np.newaxis, whole * size :], sums[whole:])
    return sums.reshape(-1, *array.shape[1:])


def _add_in_order(groups: NDArray[Any], sums: NDArray[np.float64]) -> None:
    """Sum (groups, members, columns) over the members, one after the other, beginning with 0."""
    if groups.shape[2] > 1:
        np.add.reduce(groups, axis=1, dtype=np.float64, initial=0.0, out=sums)
    else:  # the one shape whose members NumPy adds in pairs
        sums[:] = np.add.accumulate(groups, axis=1, dtype=np.float64)[:, -1] + 0.0


@dataclass(frozen=True, slots=True)
class Block:
    """A node of the tree."""

    level: int  #: 0 is a single microbatch
    index: int  #: among the blocks of its level

    @property
    def first(self) -> int:
        """Its first microbatch."""
        return self.index << self.level

    @property
    def sibling(self) -> Block:
        """The other half of the block above."""
        return Block(self.level, self.index ^ 1)

    @property
    def parent(self) -> Block:
        """The block above."""
        return Block(self.level + 1, self.index >> 1)


def blocks(first: int, count: int) -> list[Block]:
    """The fewest blocks that make up the microbatches [first, first + count), from left to right.

    Each is complete, so that they do not depend on where the image set ends.
    """
    found = []
    while count > 0:
        largest = count.bit_length() - 1
        level = min((first & -first).bit_length() - 1, largest) if first else largest
        found.append(Block(level, first >> level))
        first, count = first + (1 << level), count - (1 << level)
    return found


def block_sums(gradients: Arrays, first_microbatch: int, microbatch_size: int) -> Arrays:
    """Sums of the blocks that neighbouring microbatches make up, (blocks, *shape) float64.

    `gradients` are per image, (images, *shape) float32; only the last microbatch may have fewer
    images than `microbatch_size`.
    """
    return merge_neighbours(microbatch_sums(gradients, microbatch_size), first_microbatch)


def merge_neighbours(sums: Arrays, first_microbatch: int) -> Arrays:
    """From the sums of neighbouring microbatches, in place, to those of their blocks."""
    return {name: _merge_rows(array, first_microbatch) for name, array in sums.items()}


def _merge_rows(sums: Sum, first: int) -> Sum:
    """Merge (microbatches, *shape) in place, level by level; a block's sum is at its first row."""
    count, half = len(sums), 1
    while 2 * half <= count:
        start = -first % (2 * half)
        end = start + (count - start) // (2 * half) * 2 * half
        sums[start : end : 2 * half] += sums[start + half : end : 2 * half]
        half *= 2
    return sums[[block.first - first for block in blocks(first, count)]]


class Reduction:
    """The sums of one image set's blocks, merged as they arrive, in any order.

    It holds a block's sum until the other half of the block above is there: ⌈log₂ n⌉ of them at
    the most where they arrive from left to right.
    """

    def __init__(self) -> None:
        self._held: dict[Block, Sum] = {}  # all parameters in one row, one behind the other
        self._shapes: dict[str, tuple[int, ...]] = {}

    @property
    def held(self) -> list[Block]:
        """The blocks whose sums are held, from left to right."""
        return sorted(self._held, key=lambda block: block.first)

    def add(self, first: int, count: int, sums: Arrays) -> None:
        """Take the `block_sums` of the microbatches [first, first + count), each only once."""
        if not self._shapes:
            self._shapes = {name: array.shape[1:] for name, array in sums.items()}
        rows = [sums[name].reshape(len(sums[name]), -1) for name in self._shapes]
        for block, *parts in zip(blocks(first, count), *rows, strict=True):
            self._put(block, np.concatenate(parts, dtype=np.float64))

    def _put(self, block: Block, total: Sum) -> None:
        while (other := self._held.pop(block.sibling, None)) is not None:
            total += other
            block = block.parent
        if block in self._held:
            raise ValueError(f"Expected each sum once. Received: {_list([block])} again")
        self._held[block] = total

    def sums(self) -> Arrays:
        """The sums that are held, in the form of `block_sums`."""
        return self._separate(np.stack([self._held[block] for block in self.held]))

    def total(self, microbatches: int) -> Arrays:
        """The sum of the whole image set, float64; it must have been added, nothing of it twice."""
        if self.held != blocks(0, microbatches):
            raise ValueError(
                f"Expected the sums of {microbatches} microbatches. Received: {_list(self.held)}"
            )
        *rest, total = (self._held[block] for block in self.held)
        for left in reversed(rest):
            total = left + total
        return {name: array[0] for name, array in self._separate(total[np.newaxis]).items()}

    def _separate(self, rows: Sum) -> Arrays:
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in self._shapes.values()])
        columns = np.split(rows, ends[:-1], axis=1)
        return {
            name: part.reshape(len(rows), *shape)
            for (name, shape), part in zip(self._shapes.items(), columns, strict=True)
        }


def _list(found: list[Block]) -> str:
    return ", ".join(f"block {block.index} of level {block.level}" for block in found) or "none"
