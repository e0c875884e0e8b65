"""The distance that float32 may have from what is right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def assert_close(computed: NDArray[Any], expected: NDArray[Any], tolerance: float = 1e-5) -> None:
    """Equal to `tolerance` of the largest expected entry; exactly, where that is 0."""
    largest = float(np.abs(expected).max())
    np.testing.assert_allclose(computed, expected, rtol=0, atol=tolerance * largest)
