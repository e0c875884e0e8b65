"""Images for a trained network to look at, as its run's own were."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.config import RunConfig
from tapeworks.model.datasets.checking import Unreadable, read_here
from tapeworks.model.datasets.fitting import border_of, contain, fit
from tapeworks.model.datasets.mnist import MNIST_SIDE
from tapeworks.model.datasets.pictures import ENDINGS, read_picture
from tapeworks.model.datasets.readers import read_arrays
from tapeworks.model.datasets.source import Images, Source
from tapeworks.model.datasets.validation import (
    validate_grey_images,
    validate_images,
    validate_labels,
)
from tapeworks.model.errors import DatasetError

#: An image of three dimensions and so many channels is a picture in colour.
COLOURS = 3

#: Training images that tell how bright their borders are.
SAMPLE = 1000

#: Borders are dark below the one level, bright above the other; between them they tell nothing.
DARK, BRIGHT = 64, 191

#: Levels by which ink differs from the border, at least.
INK = 64

#: Nearly all training images have a larger extent than the one at this percentile; a picture whose
#: extent is below this share of that one is small.
SMALLEST_PERCENTILE, SMALL_SHARE = 5, 0.7


@dataclass(frozen=True, kw_only=True, slots=True)
class Appearance:
    """The look of a run's training images, as far as it is known on this machine."""

    shape: tuple[int, ...] | None = None  #: of each in the data set, before it was fitted
    border: float | None = None  #: the mean level of their outermost pixels, if they are pictures
    extent: float = 0.0  #: that of nearly all of them is larger

    def is_inverted(self, image: NDArray[np.uint8]) -> bool:
        """Check that a picture's border is as bright as theirs are dark, or the other way round."""
        if self.border is None or DARK <= self.border <= BRIGHT:
            return False
        return abs(float(border_of(image).mean()) - self.border) > np.iinfo(np.uint8).max / 2

    def is_small(self, image: NDArray[np.uint8]) -> bool:
        """Check that what a picture shows fills much less of it than theirs do."""
        return 0 < find_extent(image) < SMALL_SHARE * self.extent


def find_extent(image: NDArray[np.uint8]) -> float:
    """The longer side of the ink, as a part of the picture's longer side; 0 for none."""
    ink = np.abs(image - np.median(border_of(image), axis=0)) >= INK
    places = np.argwhere(ink.any(axis=2) if ink.ndim == COLOURS else ink)
    if not len(places):
        return 0.0
    return float((np.ptp(places, axis=0) + 1).max() / max(image.shape[:2]))


def find_appearance(config: RunConfig) -> Appearance:
    """Look at the run's data set, if it can be read here."""
    try:
        source = read_here(config.dataset, config.data_dir, is_built_in=config.is_built_in)
        return _appearance(source, config)
    except (Unreadable, DatasetError):
        is_mnist = config.dataset == "mnist"
        return Appearance(shape=(MNIST_SIDE, MNIST_SIDE), border=0) if is_mnist else Appearance()


def _appearance(source: Source, config: RunConfig) -> Appearance:
    images = source.training.images[:SAMPLE]
    shape = images.shape[1:]
    if not is_picture(images.dtype, shape):
        return Appearance(shape=shape)
    fitted = source.fit(images, config.image_side) if config.is_built_in else images
    return Appearance(
        shape=shape,
        border=float(np.mean([border_of(each) for each in fitted])),
        extent=float(np.percentile([*map(find_extent, fitted)], SMALLEST_PERCENTILE)),
    )


def is_picture(kind: Any, shape: tuple[int, ...]) -> bool:
    """Check that images of this kind and shape are (rows, columns), maybe with 1 or 3 channels."""
    is_plane = len(shape) == 2 or (len(shape) == 3 and shape[2] in {1, COLOURS})
    return np.dtype(kind) == np.uint8 and is_plane


def read_images(file: Path, config: RunConfig) -> tuple[Images, NDArray[np.int64] | None]:
    """Images to predict, as the file has them, and their labels if it has any.

    A picture has three channels if the run's images have, else grey levels. Raises `DatasetError`.
    """
    if file.suffix.lower() in ENDINGS:
        return read_picture(file, in_colour=_is_coloured(config)), None
    images, *labels = read_arrays(file, "images", optional=("labels",))
    checked = validate_inputs(images, config, file)
    return checked, validate_labels(file, labels[0], len(checked)) if labels else None


def validate_inputs(images: NDArray[Any], config: RunConfig, file: Path) -> Images:
    """Return the images in the kind that the run's network takes. Raises `DatasetError`."""
    validate = validate_grey_images if config.is_built_in else validate_images
    return validate(file, images)


def _is_coloured(config: RunConfig) -> bool:
    shape = config.spec.image_shape
    return len(shape) == 3 and shape[-1] == COLOURS


def fit_images(images: Images, config: RunConfig, appearance: Appearance, file: Path) -> Images:
    """The images as the run's network takes them. Raises `DatasetError` for those it cannot.

    A picture that has another size than the run's own is brought to theirs, its sides in
    proportion, and then cropped, for the built-in network, as they were; where they were enlarged,
    it is brought to the network's side at once.
    """
    if not config.is_built_in:
        return _fit_own(images, config, file)
    side = config.image_side
    if images.shape[1:] == (side, side):
        return images
    own = appearance.shape or images.shape[1:]
    if config.dataset == "digits" or min(own) < side or _is_of_picture(file, appearance):
        return _contain(images, (side, side))
    return fit(_contain(images, own), side)


def _is_of_picture(file: Path, appearance: Appearance) -> bool:
    """Check for a picture, which may have any size, where that of the run's is not known."""
    return appearance.shape is None and file.suffix.lower() in ENDINGS


def _contain(images: Images, shape: tuple[int, ...]) -> Images:
    """Each picture within so many rows and columns; its channels stay."""
    rows, columns, *_ = shape
    if images.shape[1:3] == (rows, columns):
        return images
    return np.stack([contain(image, rows, columns) for image in images])


def _fit_own(images: Images, config: RunConfig, file: Path) -> Images:
    """Pictures of another size for a network of pictures; all others are to be like the run's."""
    shape, kind = config.spec.image_shape, config.spec.image_kind
    if is_picture(kind.value, shape) and is_picture(images.dtype, images.shape[1:]):
        planes = images[..., 0] if images.shape[3:] == (1,) else images
        if planes.shape[3:] == (shape[2:] if _is_coloured(config) else ()):
            return _contain(planes, shape).reshape(-1, *shape)
    received = _describe(images.dtype, images.shape[1:])
    if received != (expected := _describe(kind, shape)):
        raise DatasetError(
            f"Expected images in {file} like the run's, {expected}. Received: {received}."
        )
    return images


def _describe(dtype: Any, shape: tuple[int, ...]) -> str:
    return f"{dtype} of shape {tuple(shape)}"
