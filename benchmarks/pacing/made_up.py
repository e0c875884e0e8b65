"""Results that nobody computed, of the shapes that a network's have."""

from __future__ import annotations

import functools

import numpy as np

from tapeworks.model.engine.results import EngineResult
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import Arrays
from tapeworks.model.reduction import gradients_as_wanted

#: Of workers that compute nothing.
FINGERPRINT = "0" * 16


@functools.cache
def made_up_result(network: BuiltinNetwork, images: int, wanted: GradientForm) -> EngineResult:
    """The result of one call of the engine; the same for every call."""
    source = np.random.default_rng(1)
    gradients: Arrays = {
        name: source.standard_normal((images, *shape)).astype(np.float32)
        for name, shape in network.shapes.items()
    }
    return EngineResult(
        gradients=gradients_as_wanted(gradients, wanted, network.microbatch_size),
        values={
            "losses": source.random(images).astype(np.float32),
            "gradient_norms": source.random(images).astype(np.float32),
            "predictions": np.zeros(images, np.int32),
        },
    )
