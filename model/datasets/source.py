"""A data set as it was read, before a run's choice, and the images that a run takes from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.datasets.fitting import fit

#: (n, …), uint8 or finite float32.
Images = NDArray[Any]

#: Whole numbers (n,), or float32 targets (n,) or (n, k).
Labels = NDArray[Any]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ImageData:
    """Images as the network sees them, with their labels."""

    images: Images  #: the built-in network's are uint8 (n, image_side, image_side)
    #: uint8 (n,), an index into the run's classes, not the data set's label; or float32 targets.
    labels: Labels


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Split:
    """A run's images, in the data set's own order; no image is in both parts."""

    training: ImageData  #: exactly the configuration's `images`
    test: ImageData  #: exactly its `test_images`, held out from training; may be none
    classes: tuple[int, ...]  #: the configuration's, else all of the data set's; () for targets
    rows: NDArray[np.int64]  #: of each training image its index in the data set as it was read


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Part:
    """Images and labels in the data set's own order, at least one."""

    images: Images
    labels: Labels  #: the data set's own, int64 and none negative; or float32 targets

    @property
    def has_targets(self) -> bool:
        """Check that its labels are numbers to come near to, not classes."""
        return self.labels.dtype == np.float32


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Source:
    """A whole data set, and the function that brings its images to the built-in network's side."""

    training: Part
    held_out: Part | None = None  #: None: held-out images follow the run's own in `training`
    fit: Callable[[Images, int], Images] = fit  #: (n, rows, columns), side → (n, side, side)
