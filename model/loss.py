"""The seed's loss, computed from logits so that no finite logit overflows it."""

from __future__ import annotations

from typing import Any

from model.runtime import tf


def binary_cross_entropy(logits: Any, truth: Any) -> Any:
    """Σ over classes of −(y·log p + (1−y)·log(1−p)), with p = softmax(logits).

    Both arguments are (images, classes); the result is one loss per image, (images,). With
    L = log Σ exp(logits): log p = logit − L, and log(1−p) is the same logarithm over the other
    classes minus L; neither rounds to log 0 as 1 − p would.
    """
    total = tf.reduce_logsumexp(logits, axis=-1, keepdims=True)
    log_p = logits - total
    log_not_p = _logsumexp_of_others(logits) - total
    return -tf.reduce_sum(truth * log_p + (1.0 - truth) * log_not_p, axis=-1)


def _logsumexp_of_others(logits: Any) -> Any:
    """(images, classes): for each class, log Σ exp of the logits of all the others."""
    itself = tf.eye(logits.shape[-1], dtype=tf.bool)
    others = tf.where(itself, tf.constant(float("-inf"), logits.dtype), logits[:, tf.newaxis, :])
    return tf.reduce_logsumexp(others, axis=-1)
