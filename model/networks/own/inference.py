"""A user's network's logits, without gradients."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.engine.runtime import tf
from tapeworks.model.networks.own.engine import Functions
from tapeworks.model.networks.own.module import load_module
from tapeworks.model.networks.own.spec import OwnNetwork
from tapeworks.model.parameters import Arrays


def logits(network: OwnNetwork, parameters: Arrays, images: NDArray[Any]) -> NDArray[np.float32]:
    """(images, classes) of up to a microbatch. Raises `NetworkNotAllowed`."""
    arrays = [tf.constant(parameters[name]) for name in network.shapes]
    return _functions(network).logits(images, arrays)


@functools.lru_cache(maxsize=4)
def _functions(network: OwnNetwork) -> Functions:
    return Functions(network, load_module(network.source_digest))
