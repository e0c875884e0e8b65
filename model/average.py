"""Sums and means of per-image gradients whose bits do not depend on who adds, or when."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.config import GradientForm
from tapeworks.model.parameters import Arrays


def microbatch_sums(gradients: Arrays, microbatch_size: int) -> Arrays:
    """Per parameter, each microbatch's sum over its images, added in image order to 0.

    From (images, *shape) to (microbatches, *shape) float64; the last one may have fewer images.
    """
    return {name: _sum_groups(array, microbatch_size) for name, array in gradients.items()}


def gradients_as_wanted(gradients: Arrays, wanted: GradientForm, microbatch_size: int) -> Arrays:
    """Of per-image gradients: themselves, their sums by microbatch, or nothing."""
    if wanted is GradientForm.SUMMED:
        return microbatch_sums(gradients, microbatch_size)
    return gradients if wanted is GradientForm.PER_IMAGE else {}


def mean_gradient(total: Arrays, image_count: int) -> Arrays:
    """The float32 mean of that many images, from their float64 sum."""
    return {name: (array / image_count).astype(np.float32) for name, array in total.items()}


def total_loss(losses: NDArray[np.floating]) -> float:
    """The loss of an iteration: its images' losses added in image order, in float64."""
    from_zero = np.concatenate([np.zeros(1), losses])
    return float(np.add.accumulate(from_zero)[-1])


def global_norm(gradient: Arrays) -> float:
    """Euclidean norm over all parameters together."""
    squares = [np.square(array.astype(np.float64)).sum() for array in gradient.values()]
    return float(np.sqrt(sum(squares)))


def _sum_groups(array: NDArray[Any], size: int) -> NDArray[np.float64]:
    rows = np.ascontiguousarray(array).reshape(len(array), -1)
    whole, columns = len(rows) // size, rows.shape[1]
    sums = np.empty((-(-len(rows) // size), columns))
    _add_in_order(rows[: whole * size].reshape(whole, size, columns), sums[:whole])
    if whole < len(sums):
        _add_in_order(rows[np.newaxis, whole * size :], sums[whole:])
    return sums.reshape(-1, *array.shape[1:])


def _add_in_order(groups: NDArray[Any], sums: NDArray[np.float64]) -> None:
    """Sum (groups, members, columns) over the members, one after the other, beginning with 0."""
    if groups.shape[2] > 1:
        np.add.reduce(groups, axis=1, dtype=np.float64, initial=0.0, out=sums)
    else:  # the one shape whose members NumPy adds in pairs
        sums[:] = np.add.accumulate(groups, axis=1, dtype=np.float64)[:, -1] + 0.0
