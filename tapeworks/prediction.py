"""Predictions: images in files or arrays, and what a run's parameters make of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.errors import UsageError
from tapeworks.model.config import RunConfig
from tapeworks.model.datasets.inputs import (
    Appearance,
    find_appearance,
    fit_images,
    is_picture,
    read_images,
    validate_inputs,
)
from tapeworks.model.datasets.mnist import MNIST_SIDE
from tapeworks.model.datasets.pictures import ENDINGS
from tapeworks.model.datasets.source import Images
from tapeworks.model.errors import DatasetError
from tapeworks.model.parameters import Arrays

#: How images are named that come from no file.
ARRAY = Path("images")

#: Rows and columns of the smallest images that are looked for in an array of flattened ones; how
#: many times longer than the other a side of one picture may be.
SMALLEST_SIDE, LONGEST_PICTURE = 8, 4

#: What a picture may look like beside the run's images.
INVERTED, SMALL = "inverted", "small"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """One image, and how likely each class is."""

    file: str
    image: int  #: its place in the file
    label: int | None  #: the file's own, if it has labels
    predicted: int  #: the label of the likeliest class
    looks: str | None  #: inverted or small beside the run's images: then it may well be wrong
    probabilities: dict[int, float]  #: by label, in the order of the run's classes


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pictures:
    """Images as the run's network takes them."""

    file: Path
    images: Images
    labels: list[int] | list[None]  #: the file's own, or of each None
    looks: list[str | None]  #: what may be wrong with each
    notices: list[str]  #: for the user: the same in sentences


def read_pictures(
    files: Iterable[Path], config: RunConfig, *, invert: bool = False
) -> list[Pictures]:
    """Read PNG, JPEG and .npz files. Raises `DatasetError`, or `UsageError` for others."""
    paths = list(files)
    for file in paths:
        if file.suffix.lower() not in {*ENDINGS, ".npz"}:
            expected = f"{', '.join(ENDINGS)} or .npz"
            raise UsageError(f"Expected files ending in {expected}. Received: {file}.")
    appearance = find_appearance(config)
    return [_fit(file, *read_images(file, config), config, appearance, invert) for file in paths]


def take_images(images: NDArray[Any], config: RunConfig, *, invert: bool = False) -> Pictures:
    """Take one image or several (n, …) as those of an .npz file. Raises `DatasetError`."""
    appearance = find_appearance(config)
    checked = validate_inputs(_list_images(images, config, appearance), config, ARRAY)
    return _fit(ARRAY, checked, None, config, appearance, invert)


def _list_images(images: NDArray[Any], config: RunConfig, appearance: Appearance) -> NDArray[Any]:
    """One image, or several, as several. Raises `DatasetError` for what may be either."""
    own = config.spec.image_shape
    if shape := _find_flattened(images, own, appearance):
        several = ", ".join(map(str, (-1, *shape)))
        one = f", or array[numpy.newaxis] for one picture of {images.shape[0]} rows"
        raise DatasetError(
            f"Expected an array (images, rows, columns). Received: one of shape "
            f"{images.shape}, which may be flattened images; give array.reshape({several})"
            f"{one if images.ndim > 1 else ''}."
        )
    if images.ndim == 4 and images.shape[1] in {1, 3} and images.shape[3] not in {1, 3}:
        raise DatasetError(
            "Expected an array (images, rows, columns), in colour with the channels last. Received:"
            f" one of shape {images.shape}; give array.transpose(0, 2, 3, 1) for colours, "
            "array[:, 0] or array.mean(1) for grey levels."
        )
    return images[np.newaxis] if images.ndim == len(own) else images


def _find_flattened(
    images: NDArray[Any], own: tuple[int, ...], appearance: Appearance
) -> tuple[int, ...] | None:
    """Return the shape of each image if the rows of an array seem to be flattened images.

    They have as many numbers as an image of the run, as MNIST's, or as any square one where the
    array has too long a side beside the other for one picture.
    """
    if len(own) < 2 or images.ndim not in {1, 2} or images.shape == own or not images.size:
        return None
    length, side = images.shape[-1], math.isqrt(images.shape[-1])
    for shape in (appearance.shape or own, own, (MNIST_SIDE, MNIST_SIDE)):
        if length == math.prod(shape):
            return shape
    is_long = max(images.shape) > LONGEST_PICTURE * min(images.shape)
    is_square = side**2 == length and side >= SMALLEST_SIDE
    return (side, side) if is_square and (is_long or images.ndim == 1) else None


def predict(pictures: Pictures, config: RunConfig, parameters: Arrays) -> list[Prediction]:
    """Predict the class of every image.

    Raises `ParametersError` if the parameters give no numbers.
    """
    from tapeworks.model.engine.inference import (  # loads TensorFlow, which takes seconds
        logits,
        probabilities,
    )

    shares = probabilities(logits(config.spec, parameters, pictures.images))
    return [
        Prediction(
            file=str(pictures.file),
            image=image,
            label=label,
            predicted=config.classes[int(row.argmax())],
            looks=looks,
            probabilities=dict(zip(config.classes, row.tolist(), strict=True)),
        )
        for image, (label, looks, row) in enumerate(
            zip(pictures.labels, pictures.looks, shares, strict=True)
        )
    ]


def _fit(
    file: Path,
    images: Images,
    labels: NDArray[np.int64] | None,
    config: RunConfig,
    appearance: Appearance,
    invert: bool,
) -> Pictures:
    if invert:
        images = _invert(images, file)
    fitted = fit_images(images, config, appearance, file)
    looks = _judge(fitted, appearance)
    return Pictures(
        file=file,
        images=fitted,
        labels=[None] * len(images) if labels is None else labels.tolist(),
        looks=looks,
        notices=[
            *_notice_inverted(file, looks, appearance, invert=invert),
            *_notice_small(file, looks),
        ],
    )


def _invert(images: Images, file: Path) -> Images:
    if images.dtype != np.uint8:
        raise UsageError(
            f"Expected images in {file} in levels from 0 to 255 to invert. "
            f"Received: {images.dtype} numbers."
        )
    inverted: Images = 255 - images
    return inverted


def _judge(images: Images, appearance: Appearance) -> list[str | None]:
    if not is_picture(images.dtype, images.shape[1:]):
        return [None] * len(images)
    return [_look(image, appearance) for image in images]


def _look(image: NDArray[np.uint8], appearance: Appearance) -> str | None:
    if appearance.is_inverted(image):
        return INVERTED
    return SMALL if appearance.is_small(image) else None


def _notice_inverted(
    file: Path, looks: Sequence[str | None], appearance: Appearance, *, invert: bool
) -> list[str]:
    """Report pictures that are as bright where the run's are dark, or the other way round."""
    which = _name_those(looks, INVERTED)
    if not which:
        return []
    bright = "dark" if (appearance.border or 0) > 127 else "bright"
    theirs = "bright" if bright == "dark" else "dark"
    advice = "leave out --invert" if invert else "turn them with --invert"
    return [f"{file}: {which}: the border is {bright}, that of the run's images {theirs}; {advice}"]


def _notice_small(file: Path, looks: Sequence[str | None]) -> list[str]:
    """Report pictures with much more empty border than the run's images have."""
    which = _name_those(looks, SMALL)
    advice = "what is shown fills less of the picture than in the run's images; crop to it"
    return [f"{file}: {which}: {advice}"] if which else []


def _name_those(looks: Sequence[str | None], look: str) -> str | None:
    count = looks.count(look)
    if len(looks) == 1:
        return f"looks {look}" if count else None
    return f"{count} of {len(looks)} look {look}" if count else None
