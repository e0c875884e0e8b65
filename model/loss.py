"""The seed's loss, computed from logits so that no finite logit overflows it."""

from __future__ import annotations

from typing import Any

from tapeworks.model.runtime import tf


def binary_cross_entropy(logits: Any, truth: Any) -> Any:
    """Σ over classes of −(y·log p + (1−y)·log(1−p)), with p = softmax(logits).

    Both arguments are (images, classes); the result is one loss per image, (images,). With a
    class's margin m = its logit − log Σ exp(the others' logits), p = sigmoid(m): both logarithms
    are softplus(∓m), with all their digits however near 0 or 1 p comes. The largest logit is
    taken off first, so that the digits are not lost in the logits' own size.
    """
    largest = tf.reduce_max(logits, axis=-1, keepdims=True)
    logits = logits - tf.stop_gradient(largest)
    margins = logits - _logsumexp_of_others(logits)
    return tf.reduce_sum(
        tf.nn.sigmoid_cross_entropy_with_logits(labels=truth, logits=margins), axis=-1
    )


def _logsumexp_of_others(logits: Any) -> Any:
    """(images, classes): for each class, log Σ exp of the logits of all the others."""
    itself = tf.eye(logits.shape[-1], dtype=tf.bool)
    others = tf.where(itself, tf.constant(float("-inf"), logits.dtype), logits[:, tf.newaxis, :])
    return tf.reduce_logsumexp(others, axis=-1)
