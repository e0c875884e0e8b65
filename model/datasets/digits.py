"""scikit-learn's handwritten digits: 1,797 images that come with the package, no download."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.datasets.source import Images, Part, Source

#: The whitest value of scikit-learn's images, which are whole numbers.
WHITE = 16


def read_digits() -> Source:
    """All ten digits, 8 by 8 pixels, enlarged rather than cropped to the network's side."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    labels: NDArray[np.int64] = digits.target.astype(np.int64)
    return Source(training=Part(images=_grey_levels(digits.images), labels=labels), fit=enlarge)


def enlarge(images: Images, side: int) -> Images:
    """The images resampled, (n, side, side); Pillow does it in whole numbers on every machine."""
    from PIL import Image

    enlarged = np.empty((len(images), side, side), np.uint8)
    for position, image in enumerate(images):
        resampled = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
        enlarged[position] = np.asarray(resampled)
    return enlarged


def _grey_levels(images: NDArray[np.float64]) -> Images:
    levels = (images.astype(np.uint16) * 255 + WHITE // 2) // WHITE
    return levels.astype(np.uint8)
