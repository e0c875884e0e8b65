"""Keras: the examples' networks in its own layers, trained by its compiled `train_step`."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "tensorflow"

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from benchmarks.example_problem import CLASSES, FIT_BATCHES, LEARNING_RATE, ExampleProblem

GROUPS, EPSILON = 8, 1e-5


def build(problem: ExampleProblem, way: str) -> Callable[[], dict[str, Any]]:
    """A call of `train_on_batch`, or of `fit` on an epoch of the same batch."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = {"lenet": _lenet, "resnet": _resnet}[problem.name]()
    model.set_weights(list(_in_the_order_of(model, problem)))
    model.compile(
        optimizer=keras.optimizers.SGD(LEARNING_RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    pixels, labels = problem.pixels, problem.labels.astype(np.int32)
    if way == "keras":
        return lambda: {"losses": np.asarray(model.train_on_batch(pixels, labels))}
    count = FIT_BATCHES[problem.name]
    many, their_labels = np.concatenate([pixels] * count), np.concatenate([labels] * count)

    def fit() -> dict[str, Any]:
        told = model.fit(many, their_labels, batch_size=len(pixels), shuffle=False, verbose=0)
        return {"losses": np.asarray(told.history["loss"])}

    return fit


def _in_the_order_of(model: Any, problem: ExampleProblem) -> Any:
    """The problem's arrays, by the names of the layers."""
    for variable in model.weights:
        layer, kind = variable.path.split("/")
        suffix = {"kernel": "", "bias": "_bias", "gamma": "_scale", "beta": "_shift"}[kind]
        yield problem.parameters[layer.removesuffix("_norm") + suffix]


def _lenet() -> Any:
    pixels = keras.Input((28, 28, 1))
    maps = layers.Conv2D(6, 5, padding="same", activation="relu", name="conv_1")(pixels)
    maps = layers.MaxPooling2D()(maps)
    maps = layers.Conv2D(16, 5, activation="relu", name="conv_2")(maps)
    values = layers.Flatten()(layers.MaxPooling2D()(maps))
    values = layers.Dense(120, activation="relu", name="dense_1")(values)
    values = layers.Dense(84, activation="relu", name="dense_2")(values)
    return keras.Model(pixels, layers.Dense(CLASSES, name="dense_3")(values))


def _resnet() -> Any:
    pixels = keras.Input((32, 32, 3))
    maps = layers.ReLU()(_normalised("stem", pixels, 16))
    for stage, (filters, strides) in enumerate(((16, 1), (32, 2), (64, 2))):
        change = layers.ReLU()(_normalised(f"first_{stage}", maps, filters, strides))
        if stage:
            maps = _convolved(f"shortcut_{stage}", maps, filters, 1, strides)
        change = _normalised(f"second_{stage}", change, filters)
        maps = layers.ReLU()(layers.Add()([maps, change]))
    values = layers.GlobalAveragePooling2D()(maps)
    return keras.Model(pixels, layers.Dense(CLASSES, name="dense")(values))


def _normalised(name: str, maps: Any, filters: int, strides: int = 1) -> Any:
    normalise = layers.GroupNormalization(GROUPS, epsilon=EPSILON, name=f"{name}_norm")
    return normalise(_convolved(name, maps, filters, 3, strides))


def _convolved(name: str, maps: Any, filters: int, size: int, strides: int) -> Any:
    return layers.Conv2D(filters, size, strides, "same", use_bias=False, name=name)(maps)
