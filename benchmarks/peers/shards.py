"""Stand-ins for a shard's computation, and for an iteration's end, with the paced peers."""

from __future__ import annotations

import functools

import numpy as np

from tapeworks.model.parameters import Arrays

LEARNING_RATE = 1e-3


def shard_answer(parameters: Arrays, images: int) -> Arrays:
    """As much as a worker of Tapeworks returns of a shard with `summed` gradients."""
    rows = {"losses": np.float32, "gradient_norms": np.float32, "predictions": np.int32}
    sums: Arrays = {name: array.astype(np.float64) for name, array in parameters.items()}
    return sums | {name: np.zeros(images, dtype) for name, dtype in rows.items()}


def next_parameters(parameters: Arrays, answers: list[Arrays], images: int) -> Arrays:
    """Take the mean of all answers' sums, and one iteration of gradient descent."""
    count = images * len(answers)
    return {
        name: array
        - np.float32(LEARNING_RATE)
        * (functools.reduce(np.add, (answer[name] for answer in answers)) / count).astype(
            np.float32
        )
        for name, array in parameters.items()
    }
