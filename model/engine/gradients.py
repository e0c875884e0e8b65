"""Gradients of any number of images of any network, from its compiled functions."""

from __future__ import annotations

import functools
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.engine.results import Compute, EngineResult, Request
from tapeworks.model.networks.builtin.engine import computation as builtin_computation
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.networks.kinds import AnyNetwork
from tapeworks.model.networks.own.engine import computation as own_computation
from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import Arrays

#: Compiled networks that one process holds. What one takes, some 40 MB, never comes back to the
#: system, nor do the seconds that it took: nothing is gained by dropping one for the next.
MOST_NETWORKS = 16


class Engine(Protocol):
    """Computes any number of images of one network, (images, *image_shape), and their labels.

    The gradients are per image, (images, *shape) float32; or summed over each microbatch's images,
    (microbatches, *shape) float64, the first image being a microbatch's first; or none.
    """

    def __call__(
        self,
        parameters: Arrays,
        images: NDArray[Any],
        labels: NDArray[Any],
        wanted: GradientForm = GradientForm.PER_IMAGE,
    ) -> EngineResult: ...


@functools.lru_cache(maxsize=2 * MOST_NETWORKS)
def engine(network: AnyNetwork) -> Engine:
    """The engine of this network. The first with these shapes compiles.

    Raises `NetworkNotAllowed` for a user's network whose source may not run in this process.
    """
    answer = _computation(network.compiled_as)

    def compute(
        parameters: Arrays,
        images: NDArray[Any],
        labels: NDArray[Any],
        wanted: GradientForm = GradientForm.PER_IMAGE,
    ) -> EngineResult:
        return answer(
            Request(
                parameters=parameters,
                images=images,
                labels=labels,
                wanted=wanted,
                microbatch_size=network.microbatch_size,
            )
        )

    return compute


def count_compiled_networks() -> int:
    """Return how many networks this process has compiled, dropped ones included."""
    return _computation.cache_info().misses


def warm_up(network: AnyNetwork) -> None:
    """Compile this network's function, so that the first real call does not have to.

    Raises like `engine`.
    """
    images = np.zeros((1, *network.image_shape), network.image_kind.value)
    labels = np.zeros((1, *network.label_shape), network.label_kind.value)
    parameters: Arrays = {
        name: np.zeros(shape, np.float32) for name, shape in network.shapes.items()
    }
    engine(network)(parameters, images, labels, GradientForm.SUMMED)


@functools.lru_cache(maxsize=MOST_NETWORKS)
def _computation(network: AnyNetwork) -> Compute:
    if isinstance(network, BuiltinNetwork):
        return builtin_computation(network)
    return own_computation(network)
