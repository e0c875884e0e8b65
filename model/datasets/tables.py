"""scikit-learn's tables of measurements, which come with the package, no download."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.datasets.source import Part, Source
from tapeworks.model.images import draw_order

TABLES = ("breast_cancer", "wine", "diabetes")

#: Draws the order of the rows, whatever a run's own seed is.
ORDER_SEED = 0


def read_table(name: str) -> Source:
    """Scaled columns as images (n, columns); classes as labels, or the target of `diabetes`.

    The rows are in one order that is drawn: held-out ones follow those to train on, and wine's
    table is sorted by its classes.
    """
    columns, target = _read(name)
    scaled = np.stack([scale(column) for column in columns.T], axis=1)
    order = draw_order(ORDER_SEED, 0, len(scaled))
    labels = target.astype(np.int64 if target.dtype.kind == "i" else np.float32)
    return Source(training=Part(images=scaled[order], labels=labels[order]))


def _read(name: str) -> tuple[NDArray[np.float64], NDArray[Any]]:
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

    found: Any
    match name:
        case "breast_cancer":
            found = load_breast_cancer()
        case "wine":
            found = load_wine()
        case _:
            found = load_diabetes(scaled=False)  # whose own scaling may have other bits elsewhere
    return found.data, found.target


def scale(column: NDArray[np.float64]) -> NDArray[np.float32]:
    """The column at mean 0 and standard deviation 1, rounded to float32 once.

    Exact sums and single operations of float64 have the same bits on every machine.
    """
    from_mean = column - math.fsum(column) / len(column)
    deviation = math.sqrt(math.fsum(from_mean * from_mean) / len(column))
    return (from_mean / deviation).astype(np.float32)
