"""A dense network with one hidden layer: two classes from the 30 columns of `breast_cancer`."""

import math

import numpy as np
import tensorflow as tf


def parameters(seed: int, *, hidden: int = 16) -> dict[str, np.ndarray]:
    source = np.random.PCG64(seed)
    return {
        "dense_1": draw(source, 30, hidden),  # (inputs, outputs)
        "dense_1_bias": np.zeros(hidden, np.float32),
        "dense_2": draw(source, hidden, 2),
        "dense_2_bias": np.zeros(2, np.float32),
    }


def draw(source: np.random.PCG64, *shape: int) -> np.ndarray:
    """Uniform numbers of variance 2 / inputs (He et al. 2015): the same bits with every NumPy."""
    unit = (source.random_raw(math.prod(shape)) >> np.uint64(40)) * 2.0**-24  # 0 to 1
    limit = math.sqrt(6 / math.prod(shape[:-1]))
    return ((2 * unit - 1) * limit).astype(np.float32).reshape(shape)


def logits(parameters: dict[str, tf.Tensor], images: tf.Tensor, *, hidden: int = 16) -> tf.Tensor:
    """(n, 2) of rows (n, 30): an "image" is an array of any shape."""
    values = tf.nn.relu(images @ parameters["dense_1"] + parameters["dense_1_bias"])
    return values @ parameters["dense_2"] + parameters["dense_2_bias"]


def losses(
    parameters: dict[str, tf.Tensor], images: tf.Tensor, labels: tf.Tensor, *, hidden: int = 16
) -> tf.Tensor:
    of_classes = logits(parameters, images, hidden=hidden)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, of_classes)  # (n,)
