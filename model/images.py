"""Image sets of iterations; pixels and labels as the network takes them."""

from __future__ import annotations

import functools
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.config import RunConfig

_Scalar = TypeVar("_Scalar", bound=np.generic)


def image_set(config: RunConfig, iteration: int) -> NDArray[np.int64]:
    """Numbers of the images that this iteration averages over, in their fixed order.

    All of them in the data's order, or a slice of a pass over all of them in an order that is drawn
    for that pass. A pass has each image once; its last slice is what is left.
    """
    size = config.images_in_an_iteration
    if size == config.images:
        return np.arange(size)
    number, place = divmod(iteration, -(-config.images // size))
    return draw_order(config.seed, number, config.images)[place * size : (place + 1) * size]


@functools.lru_cache(maxsize=2)
def draw_order(seed: int, number: int, images: int) -> NDArray[np.int64]:
    """All images in the order of one pass: sorted by raw numbers of PCG64, one for each.

    As with `parameters.initial`, the same bits with every NumPy, which promises them neither of its
    shuffle nor of its permutation. The pass's number is a key apart from the seed, so that no pass
    repeats the numbers of the initial parameters.
    """
    source = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(number,)))
    order: NDArray[np.int64] = np.argsort(source.random_raw(images), kind="stable")
    order.flags.writeable = False
    return order


def normalise(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Grey levels 0..255 as float32 in [0, 1], rounded once as in the seed."""
    return (images / 255).astype(np.float32)


def pad(array: NDArray[_Scalar], length: int) -> NDArray[_Scalar]:
    """The array with zeros behind its rows, up to `length` rows."""
    if len(array) == length:
        return array
    whole = np.zeros((length, *array.shape[1:]), array.dtype)
    whole[: len(array)] = array
    return whole


def one_hot(labels: NDArray[np.integer], class_count: int) -> NDArray[np.float32]:
    """(images,) class numbers as (images, classes) float32 with a single 1 in each row."""
    rows: NDArray[np.float32] = np.eye(class_count, dtype=np.float32)[labels]
    return rows
