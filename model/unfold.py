"""The full unfolding: one image cut into the patches of all layers at once, as the seed does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray


def unfold_fully(image: NDArray[np.float32], kernel_sizes: Sequence[int]) -> NDArray[np.float32]:
    """The seed's unfolding of one image, ahead of all layers at once.

    (27, 27) → (15, 15, 7, 7, 5, 5, 3, 3) for kernel sizes 3, 5, 7: two axes of positions, then the
    patch axes of the last layer down to those of the first.
    """
    unfolded: NDArray[np.float32] = image
    for size in kernel_sizes:
        windows = sliding_window_view(unfolded, (size, size), axis=(0, 1))
        unfolded = np.moveaxis(windows, (-2, -1), (2, 3))
    return np.ascontiguousarray(unfolded)
