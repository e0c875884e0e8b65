"""Logits and probabilities of images, without gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model import network as networks
from tapeworks.model.config import NetworkConfig, Unfolding
from tapeworks.model.engine.runtime import tf
from tapeworks.model.errors import ParametersError
from tapeworks.model.images import normalise, pad
from tapeworks.model.network import unfold_fully
from tapeworks.model.parameters import Arrays


def logits(
    network: NetworkConfig, parameters: Arrays, images: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """(images, classes) of one image or more, in the network's own unfolding.

    Raises `ParametersError` if the parameters are so large that a logit is no number.
    """
    compute = (_full if network.unfolding is Unfolding.FULL else _layerwise)(network)
    arrays = [tf.constant(parameters[name]) for name in network.shapes]
    size = network.microbatch_size
    parts = [
        compute(normalise(images[first : first + size]), arrays)
        for first in range(0, len(images), size)
    ]
    found: NDArray[np.float32] = np.concatenate(parts)
    if not np.isfinite(found).all():
        raise ParametersError("These parameters give logits that are NaN or infinite.")
    return found


def probabilities(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Softmax in float64, (images, classes); the largest logit is taken off first."""
    exponentials = np.exp(np.subtract(logits, logits.max(axis=1, keepdims=True), dtype=np.float64))
    shares: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares


class _Unwatched:
    """The tape of a forward pass of which nobody wants a gradient."""

    def watch(self, tensor: Any) -> None:
        pass


#: (images float32 (n, side, side), the parameters' tensors) → logits (n, classes).
Forward = Callable[[NDArray[np.float32], list[Any]], Any]


@functools.lru_cache(maxsize=4)
def _layerwise(network: NetworkConfig) -> Forward:
    """For up to a microbatch: padded, so that one compiled function serves them all."""

    def forward(images: Any, *arrays: Any) -> Any:
        *convolutions, dense = arrays
        return networks.layerwise(images, convolutions, dense, _Unwatched()).logits

    compiled = tf.function(forward, jit_compile=True, autograph=False)

    def compute(images: NDArray[np.float32], arrays: list[Any]) -> Any:
        whole = tf.constant(pad(images, network.microbatch_size))
        return compiled(whole, *arrays).numpy()[: len(images)]

    return compute


def _full(network: NetworkConfig) -> Forward:
    def compute(images: NDArray[np.float32], arrays: list[Any]) -> Any:
        *convolutions, dense = arrays
        unfolded = (tf.constant(unfold_fully(image, network.kernel_sizes)) for image in images)
        found = [networks.full(image, convolutions, dense).numpy() for image in unfolded]
        return np.concatenate(found)

    return compute
