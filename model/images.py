"""Which images an iteration is computed on, and how they are grouped."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from model.config import RunConfig

_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True, kw_only=True, slots=True)
class Microbatch:
    """Neighbours in the image set that are always computed together, in this order."""

    index: int  #: place among the iteration's microbatches
    first: int  #: place of its first image in the image set
    images: tuple[int, ...]  #: numbers of its images in the run's data


def image_set(config: RunConfig, iteration: int) -> Sequence[int]:
    """Numbers of the images that this iteration averages over, in their fixed order.

    All of them in the data's order, or a slice of a pass over all of them in an order that is drawn
    for that pass. A pass has each image once; its last slice is what is left.
    """
    size = config.images_in_an_iteration
    if size == config.images:
        return range(size)
    number, place = divmod(iteration, -(-config.images // size))
    return _drawn_order(config.seed, number, config.images)[place * size : (place + 1) * size]


@functools.lru_cache(maxsize=2)
def _drawn_order(seed: int, number: int, images: int) -> tuple[int, ...]:
    """All images in the order of one pass: sorted by raw numbers of PCG64, one for each.

    As with `parameters.initial`, the same bits with every NumPy, which promises them neither of its
    shuffle nor of its permutation. The pass's number is a key apart from the seed, so that no pass
    repeats the numbers of the initial parameters.
    """
    source = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(number,)))
    return tuple(np.argsort(source.random_raw(images), kind="stable").tolist())


def cut(images: Sequence[int], microbatch_size: int) -> list[Microbatch]:
    """The image set as microbatches of `microbatch_size` neighbours; the last may have fewer."""
    return [
        Microbatch(index=index, first=first, images=tuple(images[first : first + microbatch_size]))
        for index, first in enumerate(range(0, len(images), microbatch_size))
    ]


def normalised(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Grey levels 0..255 as float32 in [0, 1], rounded once as in the seed."""
    return (images / 255).astype(np.float32)


def padded(array: NDArray[_Scalar], length: int) -> NDArray[_Scalar]:
    """The array with zeros behind its rows, up to `length` rows."""
    if len(array) == length:
        return array
    widths = [(0, length - len(array))] + [(0, 0)] * (array.ndim - 1)
    return np.pad(array, widths)


def one_hot(labels: NDArray[np.integer], class_count: int) -> NDArray[np.float32]:
    """(images,) class numbers as (images, classes) float32 with a single 1 in each row."""
    rows: NDArray[np.float32] = np.eye(class_count, dtype=np.float32)[labels]
    return rows
