"""scikit-learn's handwritten digits: 1,797 images that come with the package, no download."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.datasets.fitting import enlarge
from tapeworks.model.datasets.source import Images, Part, Source

#: The whitest value of scikit-learn's images, which are whole numbers.
WHITE = 16

#: Rows and columns of its images.
DIGITS_SIDE = 8

#: Where the package has them: a row per image, its levels and then its label.
DIGITS_FILE = Path("datasets", "data", "digits.csv.gz")


def read_digits() -> Source:
    """All ten digits, 8 by 8 pixels, enlarged rather than cropped to the network's side."""
    rows = _read_rows()
    images = rows[:, :-1].reshape(-1, DIGITS_SIDE, DIGITS_SIDE)
    part = Part(images=_grey_levels(images), labels=rows[:, -1].astype(np.int64))
    return Source(training=part, fit=enlarge)


def _read_rows() -> NDArray[np.float64]:
    """The package's own file, if it is there: loading scikit-learn takes more than a second."""
    package = find_spec("sklearn")
    for place in (package and package.submodule_search_locations) or ():
        if (file := Path(place) / DIGITS_FILE).is_file():
            with gzip.open(file, "rt") as lines:
                return np.loadtxt(lines, delimiter=",")
    from sklearn.datasets import load_digits

    digits = load_digits()
    found: NDArray[np.float64] = np.column_stack([digits.data, digits.target])
    return found


def _grey_levels(images: NDArray[np.float64]) -> Images:
    levels = (images.astype(np.uint16) * 255 + WHITE // 2) // WHITE
    return levels.astype(np.uint8)
