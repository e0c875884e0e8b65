"""What a run gets of a data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ImageData:
    """Images as the network sees them, with their labels."""

    images: NDArray[np.uint8]  #: (n, image_side, image_side)
    labels: NDArray[np.uint8]  #: (n,), an index into the run's classes, not the data set's label


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Split:
    """A run's images, in the data set's own order; no image is in both parts."""

    training: ImageData  #: exactly the configuration's `images`
    test: ImageData  #: exactly its `test_images`, held out from training; may be none
