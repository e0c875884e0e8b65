"""Predictions: images in files or arrays, and what a run's parameters make of them."""

from __future__ import annotations

from collections.abc import Iterable
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
from tapeworks.model.datasets.pictures import ENDINGS
from tapeworks.model.datasets.source import Images
from tapeworks.model.parameters import Arrays

#: How images are named that come from no file.
ARRAY = Path("images")


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """One image, and how likely each class is."""

    file: str
    image: int  #: its place in the file
    label: int | None  #: the file's own, if it has labels
    predicted: int  #: the label of the likeliest class
    probabilities: dict[int, float]  #: by label, in the order of the run's classes


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pictures:
    """Images as the run's network takes them."""

    file: Path
    images: Images
    labels: list[int] | list[None]  #: the file's own, or of each None
    notices: list[str]  #: for the user: what may be wrong with them


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
    """Take images (n, …) from an array, as those of an .npz file. Raises `DatasetError`."""
    checked = validate_inputs(images, config, ARRAY)
    return _fit(ARRAY, checked, None, config, find_appearance(config), invert)


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
            probabilities=dict(zip(config.classes, row.tolist(), strict=True)),
        )
        for image, (label, row) in enumerate(zip(pictures.labels, shares, strict=True))
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
    return Pictures(
        file=file,
        images=fitted,
        labels=[None] * len(images) if labels is None else labels.tolist(),
        notices=_notice(file, fitted, appearance, invert=invert),
    )


def _invert(images: Images, file: Path) -> Images:
    if images.dtype != np.uint8:
        raise UsageError(
            f"Expected images in {file} in levels from 0 to 255 to invert. "
            f"Received: {images.dtype} numbers."
        )
    inverted: Images = 255 - images
    return inverted


def _notice(file: Path, images: Images, appearance: Appearance, *, invert: bool) -> list[str]:
    """Tell of pictures that are as bright where the run's are dark, or the other way round."""
    if not is_picture(images.dtype, images.shape[1:]):
        return []
    count = sum(appearance.is_inverted(image) for image in images)
    if not count:
        return []
    which = "looks inverted" if len(images) == 1 else f"{count} of {len(images)} look inverted"
    bright = "dark" if (appearance.border or 0) > 127 else "bright"
    theirs = "bright" if bright == "dark" else "dark"
    advice = "leave out --invert" if invert else "turn them with --invert"
    return [f"{file}: {which}: the border is {bright}, that of the run's images {theirs}; {advice}"]
