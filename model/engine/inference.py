"""Logits and probabilities of images, without gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.errors import ParametersError
from tapeworks.model.networks.builtin import inference as builtin
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.networks.kinds import AnyNetwork
from tapeworks.model.networks.own import inference as own
from tapeworks.model.parameters import Arrays


def logits(network: AnyNetwork, parameters: Arrays, images: NDArray[Any]) -> NDArray[np.float32]:
    """(images, classes) of one image or more.

    Raises `ParametersError` if the parameters are so large that a logit is no number, or if the
    network has no logits; `NetworkNotAllowed` if its source may not run in this process.
    """
    if network.classes_predicted is None:
        raise ParametersError(f"Expected a network that has logits. Received: {network.title}.")
    size = network.microbatch_size
    parts = [
        _logits(network, parameters, images[first : first + size])
        for first in range(0, len(images), size)
    ]
    found: NDArray[np.float32] = np.concatenate(parts)
    if not np.isfinite(found).all():
        raise ParametersError("These parameters give logits that are NaN or infinite.")
    return found


def _logits(network: AnyNetwork, parameters: Arrays, images: NDArray[Any]) -> NDArray[np.float32]:
    if isinstance(network, BuiltinNetwork):
        return builtin.logits(network, parameters, images)
    return own.logits(network, parameters, images)


def probabilities(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Softmax in float64, (images, classes); the largest logit is taken off first."""
    exponentials = np.exp(np.subtract(logits, logits.max(axis=1, keepdims=True), dtype=np.float64))
    shares: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares
