"""Sums and means of per-image gradients whose bits do not depend on who adds, or when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.parameters import Arrays


def microbatch_sums(gradients: Arrays) -> Arrays:
    """Per parameter, the float64 sum over one microbatch's images, added in image order."""
    return {name: _sum_rows(array) for name, array in gradients.items()}


def mean_gradient(sums: Iterable[Arrays], image_count: int) -> Arrays:
    """The float32 mean over all images, from microbatch sums given in microbatch order."""
    ordered = iter(sums)
    total = {name: array.astype(np.float64) for name, array in next(ordered).items()}
    for microbatch in ordered:
        for name, array in microbatch.items():
            total[name] += array
    return {name: (array / image_count).astype(np.float32) for name, array in total.items()}


def total_loss(losses: Iterable[float]) -> float:
    """The loss of an iteration: its images' losses added in image order, in float64."""
    total = 0.0
    for loss in losses:
        total += float(loss)
    return total


def global_norm(gradient: Arrays) -> float:
    """Euclidean norm over all parameters together."""
    squares = [np.square(array.astype(np.float64)).sum() for array in gradient.values()]
    return float(np.sqrt(sum(squares)))


def _sum_rows(array: NDArray[Any]) -> NDArray[np.float64]:
    rows = np.ascontiguousarray(array).reshape(len(array), -1)
    if rows.shape[1] == 1:  # the one shape whose rows NumPy adds in pairs, not one by one
        total = np.cumsum(rows, axis=0, dtype=np.float64)[-1]
    else:
        total = np.add.reduce(rows, axis=0, dtype=np.float64)
    summed: NDArray[np.float64] = total.reshape(array.shape[1:])
    return summed
