"""The inputs of a user's functions: the same for the check and for what computes afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.engine.runtime import tf
from tapeworks.model.networks.own.spec import OwnNetwork
from tapeworks.model.networks.spec import ArrayKind

#: The grey level that becomes 1.
WHITE = 255


def data_specs(network: OwnNetwork, size: int) -> list[Any]:
    """The forms of so many images and of their labels."""
    label = tf.int32 if network.label_kind is ArrayKind.BYTES else tf.float32
    return [
        tf.TensorSpec((size, *network.image_shape), network.image_kind.value),
        tf.TensorSpec((size, *network.label_shape), label),
    ]


def parameter_specs(network: OwnNetwork) -> list[Any]:
    """The forms of the parameters, in the network's order."""
    return [tf.TensorSpec(shape) for shape in network.shapes.values()]


def as_targets(network: OwnNetwork, labels: NDArray[Any]) -> NDArray[Any]:
    """Labels as `losses` gets them: int32 places among the classes, or float32 targets."""
    is_class = network.label_kind is ArrayKind.BYTES
    return labels.astype(np.int32 if is_class else np.float32, copy=False)


def scale(network: OwnNetwork, images: Any) -> Any:
    """Images as the functions get them: grey levels from 0 to 1, float32 as it is."""
    if network.image_kind is ArrayKind.FLOATS:
        return images
    return tf.cast(images, tf.float32) / tf.constant(WHITE, tf.float32)
