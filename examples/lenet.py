"""LeNet (LeCun et al. 1998) for the ten digits of MNIST, with ReLU and max pooling."""

import math

import numpy as np
import tensorflow as tf


def parameters(seed: int, *, hidden: int = 84) -> dict[str, np.ndarray]:
    source = np.random.PCG64(seed)
    return {
        "conv_1": draw(source, 5, 5, 1, 6),  # (rows, columns, maps below, filters)
        "conv_1_bias": np.zeros(6, np.float32),
        "conv_2": draw(source, 5, 5, 6, 16),
        "conv_2_bias": np.zeros(16, np.float32),
        "dense_1": draw(source, 400, 120),  # (inputs, outputs)
        "dense_1_bias": np.zeros(120, np.float32),
        "dense_2": draw(source, 120, hidden),
        "dense_2_bias": np.zeros(hidden, np.float32),
        "dense_3": draw(source, hidden, 10),
        "dense_3_bias": np.zeros(10, np.float32),
    }


def draw(source: np.random.PCG64, *shape: int) -> np.ndarray:
    """Uniform numbers of variance 2 / inputs (He et al. 2015): the same bits with every NumPy."""
    unit = (source.random_raw(math.prod(shape)) >> np.uint64(40)) * 2.0**-24  # 0 to 1
    limit = math.sqrt(6 / math.prod(shape[:-1]))
    return ((2 * unit - 1) * limit).astype(np.float32).reshape(shape)


def logits(parameters: dict[str, tf.Tensor], images: tf.Tensor, *, hidden: int = 84) -> tf.Tensor:
    maps = images[..., tf.newaxis]  # (n, 28, 28, 1)
    maps = convolve(parameters, "conv_1", maps, "SAME")  # (n, 14, 14, 6)
    maps = convolve(parameters, "conv_2", maps, "VALID")  # (n, 5, 5, 16)
    values = tf.reshape(maps, (-1, 400))
    values = tf.nn.relu(values @ parameters["dense_1"] + parameters["dense_1_bias"])
    values = tf.nn.relu(values @ parameters["dense_2"] + parameters["dense_2_bias"])
    return values @ parameters["dense_3"] + parameters["dense_3_bias"]


def convolve(
    parameters: dict[str, tf.Tensor], name: str, maps: tf.Tensor, padding: str
) -> tf.Tensor:
    sums = tf.nn.conv2d(maps, parameters[name], 1, padding)
    return tf.nn.max_pool2d(tf.nn.relu(sums + parameters[f"{name}_bias"]), 2, 2, "VALID")


def losses(
    parameters: dict[str, tf.Tensor], images: tf.Tensor, labels: tf.Tensor, *, hidden: int = 84
) -> tf.Tensor:
    of_classes = logits(parameters, images, hidden=hidden)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, of_classes)  # (n,)
