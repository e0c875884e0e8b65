"""Which images an iteration is computed on, and how they are grouped."""

from __future__ import annotations

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


def image_set(config: RunConfig, iteration: int) -> Sequence[int]:  # noqa: ARG001
    """Numbers of the images that this iteration averages over, in their fixed order."""
    return range(config.images)


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
