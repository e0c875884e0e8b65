"""The problem that every engine is given: a network's parameters, images, and the work in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.images import normalise, one_hot
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.parameters import Arrays, initial

Compute = Callable[[], Arrays]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """The gradients of `count` random images; the same ones in every process."""

    network: BuiltinNetwork
    count: int

    @property
    def parameters(self) -> Arrays:
        return initial(self.network, seed=1)

    @property
    def images(self) -> NDArray[np.uint8]:
        side = self.network.image_side
        source = np.random.default_rng(1)
        return source.integers(0, 256, (self.count, side, side)).astype(np.uint8)

    @property
    def labels(self) -> NDArray[np.int64]:
        return np.arange(self.count) % self.network.class_count

    @property
    def pixels(self) -> NDArray[np.float32]:
        return normalise(self.images)

    @property
    def truth(self) -> NDArray[np.float32]:
        return one_hot(self.labels, self.network.class_count)


def named(network: BuiltinNetwork, arrays: Any) -> Arrays:
    """Gradients in the network's order, by name and as NumPy arrays."""
    return {name: np.asarray(array) for name, array in zip(network.shapes, arrays, strict=True)}
