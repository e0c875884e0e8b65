"""The contract of an engine: what it is asked for, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.networks.spec import GRADIENT_NORMS, LOSSES, PREDICTIONS, GradientForm
from tapeworks.model.parameters import Arrays


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Request:
    """Some images to compute, with all that their computation depends on."""

    parameters: Arrays
    images: NDArray[Any]  #: (images, *image_shape)
    labels: NDArray[Any]  #: (images, *label_shape)
    wanted: GradientForm
    microbatch_size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineResult:
    """The result of some images' computation, in their order."""

    gradients: Arrays  #: per parameter, what was wanted; see `Engine`
    values: Arrays  #: a number per image, by the names of an answer; see `Network.image_values`

    @property
    def losses(self) -> NDArray[np.float32]:
        """(images,)."""
        return self.values[LOSSES]

    @property
    def gradient_norms(self) -> NDArray[np.float32]:
        """(images,) Euclidean norm over all parameters, where gradients are computed apart."""
        return self.values[GRADIENT_NORMS]

    @property
    def predictions(self) -> NDArray[np.int32]:
        """(images,) the class of the largest logit, where the network has logits."""
        return self.values[PREDICTIONS]


Compute = Callable[[Request], EngineResult]
