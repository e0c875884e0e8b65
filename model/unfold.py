"""Images and layer inputs cut into patches, so that a convolution becomes one product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from model.runtime import tf


def patches(maps: Any, kernel_size: int) -> Any:
    """(images, side, side) → (images, positions, kernel_size²): every patch of every image.

    One gather forward and one backward: as a slice for each pixel of the patch, XLA would take
    three times as long to compile it.
    """
    images, side = maps.shape[0], maps.shape[1]
    positions = (side - kernel_size + 1) ** 2

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def unfold(pixels: Any) -> Any:
        gathered = tf.gather(pixels, _pixel_of_entry(side, kernel_size), axis=1)

        def fold(slopes: Any) -> Any:
            entries = tf.pad(tf.reshape(slopes, (images, -1)), [[0, 0], [0, 1]])
            of_pixel = tf.gather(entries, _entries_of_pixel(side, kernel_size), axis=1)
            return tf.reduce_sum(tf.reshape(of_pixel, (images, side**2, kernel_size**2)), axis=-1)

        return tf.reshape(gathered, (images, positions, kernel_size**2)), fold

    return unfold(tf.reshape(maps, (images, side**2)))


def _pixel_of_entry(side: int, kernel_size: int) -> NDArray[np.int64]:
    """For each entry of each patch, the number of the pixel that it shows."""
    pixels = np.arange(side**2).reshape(side, side)
    return sliding_window_view(pixels, (kernel_size, kernel_size)).reshape(-1)


def _entries_of_pixel(side: int, kernel_size: int) -> NDArray[np.int64]:
    """For each pixel, the kernel_size² entries that show it.

    A pixel near the border is in fewer patches; the number behind the last entry stands for none.
    """
    shown = _pixel_of_entry(side, kernel_size)
    entries = np.full((side**2, kernel_size**2), len(shown))
    entries[shown, np.arange(len(shown)) % kernel_size**2] = np.arange(len(shown))
    return entries.reshape(-1)


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
