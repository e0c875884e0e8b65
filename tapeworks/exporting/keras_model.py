"""A trained network as a plain Keras model: standard layers only, no code of ours in it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.engine.runtime import tf
from tapeworks.model.keras_settings import without_keras_settings
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.parameters import Arrays

#: Names of what goes into the model and comes out of it.
IMAGES, LOGITS = "images", "logits"


def keras_model(network: BuiltinNetwork, parameters: Arrays) -> Any:
    """The network from float32 images (n, side, side) in [0, 1] to logits (n, classes)."""
    layers, side = _keras().layers, network.image_side
    images = layers.Input((side, side), dtype="float32", name=IMAGES)
    maps = layers.Reshape((side, side, 1), dtype="float32")(images)
    for layer, size in enumerate(network.kernel_sizes, start=1):
        maps = layers.Conv2D(
            network.filters,
            size,
            data_format="channels_last",  # named, as the types are: Keras's file may say otherwise
            activation="relu",
            use_bias=False,
            dtype="float32",
            name=f"conv_{layer}",
        )(maps)
    flat = layers.Flatten(data_format="channels_last", dtype="float32")(maps)
    dense = layers.Dense(network.class_count, use_bias=False, dtype="float32", name=LOGITS)
    model = _keras().Model(images, dense(flat), name="tapeworks")
    model.set_weights(_kernels(network, parameters))
    return model


def write(model: Any, path: Path, *, as_directory: bool) -> None:
    """Write a SavedModel's directory, or a file for `keras.models.load_model`.

    Raises `OSError`.
    """
    try:
        if as_directory:
            model.export(path, verbose=False)
        else:
            model.save(path)
    except tf.errors.OpError as error:
        reason = error.message.rpartition("; ")[2].partition(" [Op:")[0]  # without TensorFlow's own
        raise OSError(errno.EIO, reason) from error


def _kernels(network: BuiltinNetwork, parameters: Arrays) -> list[NDArray[np.float32]]:
    """The parameters as Keras's layers have them: what goes in comes before what comes out.

    A filter is shared by all the maps of the layer below, so it is repeated for each of them.
    """
    kernels, channels = [], 1
    *convolutions, dense = (parameters[name] for name in network.shapes)
    for filters in convolutions:
        by_pixel = filters.transpose(1, 2, 0)[:, :, np.newaxis]  # (rows, columns, 1, filters)
        kernels.append(by_pixel.repeat(channels, axis=2))
        channels = network.filters
    # The maps lie flat as rows, columns, filters.
    kernels.append(dense.transpose(2, 3, 1, 0).reshape(-1, network.class_count))
    return kernels


def _keras() -> Any:
    """Keras over TensorFlow, which has been loaded by now as `model/engine/runtime.py` sets it."""
    os.environ["KERAS_BACKEND"] = "tensorflow"  # set, not defaulted: the shell may name another
    with without_keras_settings():
        import keras

    return keras
