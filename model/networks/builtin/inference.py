"""The built-in network's logits, without gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.engine.runtime import tf
from tapeworks.model.images import normalise, pad
from tapeworks.model.networks.builtin import forward as networks
from tapeworks.model.networks.builtin.forward import unfold_fully
from tapeworks.model.networks.builtin.spec import BuiltinNetwork, Unfolding
from tapeworks.model.parameters import Arrays


def logits(
    network: BuiltinNetwork, parameters: Arrays, images: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """(images, classes) of up to a microbatch, in the network's own unfolding."""
    compute = (_full if network.unfolding is Unfolding.FULL else _layerwise)(network)
    arrays = [tf.constant(parameters[name]) for name in network.shapes]
    found: NDArray[np.float32] = compute(normalise(images), arrays)
    return found


class _Unwatched:
    """The tape of a forward pass of which nobody wants a gradient."""

    def watch(self, tensor: Any) -> None:
        pass


#: (images float32 (n, side, side), the parameters' tensors) → logits (n, classes).
Forward = Callable[[NDArray[np.float32], list[Any]], Any]


@functools.lru_cache(maxsize=4)
def _layerwise(network: BuiltinNetwork) -> Forward:
    """For up to a microbatch: padded, so that one compiled function serves them all."""

    def forward(images: Any, *arrays: Any) -> Any:
        *convolutions, dense = arrays
        return networks.layerwise(images, convolutions, dense, _Unwatched()).logits

    compiled = tf.function(forward, jit_compile=True, autograph=False)

    def compute(images: NDArray[np.float32], arrays: list[Any]) -> Any:
        whole = tf.constant(pad(images, network.microbatch_size))
        return compiled(whole, *arrays).numpy()[: len(images)]

    return compute


def _full(network: BuiltinNetwork) -> Forward:
    def compute(images: NDArray[np.float32], arrays: list[Any]) -> Any:
        *convolutions, dense = arrays
        unfolded = (tf.constant(unfold_fully(image, network.kernel_sizes)) for image in images)
        found = [networks.full(image, convolutions, dense).numpy() for image in unfolded]
        return np.concatenate(found)

    return compute
