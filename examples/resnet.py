"""A small residual network (He et al. 2016) for ten classes of (32, 32, 3), such as `cifar10`.

Batch normalisation would let an image's loss depend on its neighbours; group normalisation (Wu and
He 2018) looks at one image alone.
"""

import math

import numpy as np
import tensorflow as tf

GROUPS = 8


def parameters(seed: int, *, filters: int = 16) -> dict[str, np.ndarray]:
    source, below = np.random.PCG64(seed), filters
    arrays = layer("stem", draw(source, 3, 3, 3, filters))
    for stage, count in enumerate((filters, 2 * filters, 4 * filters)):
        arrays |= layer(f"first_{stage}", draw(source, 3, 3, below, count))
        arrays |= layer(f"second_{stage}", draw(source, 3, 3, count, count))
        if stage > 0:  # the sum of both ways needs as many filters on each
            arrays[f"shortcut_{stage}"] = draw(source, 1, 1, below, count)
        below = count
    return arrays | {"dense": draw(source, below, 10), "dense_bias": np.zeros(10, np.float32)}


def draw(source: np.random.PCG64, *shape: int) -> np.ndarray:
    """Uniform numbers of variance 2 / inputs (He et al. 2015): the same bits with every NumPy."""
    unit = (source.random_raw(math.prod(shape)) >> np.uint64(40)) * 2.0**-24  # 0 to 1
    limit = math.sqrt(6 / math.prod(shape[:-1]))
    return ((2 * unit - 1) * limit).astype(np.float32).reshape(shape)


def layer(name: str, filters: np.ndarray) -> dict[str, np.ndarray]:
    one, zero = np.ones(filters.shape[3], np.float32), np.zeros(filters.shape[3], np.float32)
    return {name: filters, f"{name}_scale": one, f"{name}_shift": zero}


def logits(parameters: dict[str, tf.Tensor], images: tf.Tensor, *, filters: int = 16) -> tf.Tensor:
    maps = tf.nn.relu(convolve(parameters, "stem", images))
    for stage, strides in enumerate((1, 2, 2)):
        change = tf.nn.relu(convolve(parameters, f"first_{stage}", maps, strides))
        if stage > 0:
            maps = tf.nn.conv2d(maps, parameters[f"shortcut_{stage}"], strides, "SAME")
        maps = tf.nn.relu(maps + convolve(parameters, f"second_{stage}", change))
    return tf.reduce_mean(maps, (1, 2)) @ parameters["dense"] + parameters["dense_bias"]


def convolve(
    parameters: dict[str, tf.Tensor], name: str, maps: tf.Tensor, strides: int = 1
) -> tf.Tensor:
    """Convolve, then normalise each image's groups of neighbouring filters."""
    maps = tf.nn.conv2d(maps, parameters[name], strides, "SAME")
    maps -= mean_of_groups(maps)
    deviation = tf.sqrt(mean_of_groups(maps * maps) + 1e-5)
    return maps * (parameters[f"{name}_scale"] / deviation) + parameters[f"{name}_shift"]


def mean_of_groups(maps: tf.Tensor) -> tf.Tensor:
    """(n, 1, 1, filters): for each filter, the mean over its group and all pixels."""
    of_filters = tf.reduce_mean(maps, (1, 2))
    of_groups = tf.reduce_mean(tf.reshape(of_filters, (-1, GROUPS, maps.shape[3] // GROUPS)), 2)
    return tf.repeat(of_groups, maps.shape[3] // GROUPS, 1)[:, tf.newaxis, tf.newaxis]


def losses(
    parameters: dict[str, tf.Tensor], images: tf.Tensor, labels: tf.Tensor, *, filters: int = 16
) -> tf.Tensor:
    of_classes = logits(parameters, images, filters=filters)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, of_classes)  # (n,)
