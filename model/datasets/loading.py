"""A run's choice from a data set: its classes, its first images, its held-out images."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np

from tapeworks.model.config import RunConfig
from tapeworks.model.datasets.data import ImageData, Split
from tapeworks.model.datasets.source import Part, Source
from tapeworks.model.datasets.sources import read_source
from tapeworks.model.errors import DatasetError

#: Classes that a sentence lists before it says "and more".
LISTED_CLASSES = 20


def load(config: RunConfig) -> Split:
    """The first images of the wanted classes to train on, and those held out.

    Held-out images come from the data set's own test part when it has one, and otherwise are the
    ones that follow the training images. Raises `DatasetError` for a data set that is unknown,
    missing or damaged, lacks a class, or has too few or too small images.
    """
    source = read_source(config)
    _check_classes(source.training, config)
    held_out = source.held_out or source.training
    start = 0 if source.held_out else config.images
    return Split(
        training=_take(source, source.training, config, 0, config.images),
        test=_take(source, held_out, config, start, start + config.test_images),
    )


def _check_classes(part: Part, config: RunConfig) -> None:
    present = np.unique(part.labels).tolist()
    for label in config.classes:
        if label not in present:
            raise DatasetError(
                f"{config.dataset} has no class {label}. Its classes are {_listed(present)}. "
                f"Received: classes={_listed(config.classes)}."
            )


def _take(source: Source, part: Part, config: RunConfig, start: int, stop: int) -> ImageData:
    """Images `start` to `stop` of those in the part that belong to the run's classes."""
    positions = np.flatnonzero(np.isin(part.labels, config.classes))
    if len(positions) < stop:
        kind = "held-out images" if part is source.held_out else "images"
        raise DatasetError(
            f"{config.dataset} has {len(positions)} {kind} of the classes "
            f"{_listed(config.classes)}. Expected at least {stop}. "
            f"Received: images={config.images}, test_images={config.test_images}."
        )
    chosen = positions[start:stop]
    matches = part.labels[chosen, np.newaxis] == np.array(config.classes)  # (images, classes)
    return ImageData(
        images=source.fit(part.images[chosen], config.image_side),
        labels=matches.argmax(axis=1).astype(np.uint8),
    )


def _listed(labels: Iterable[int]) -> str:
    remaining = iter(labels)
    listed = ",".join(map(str, islice(remaining, LISTED_CLASSES)))
    return listed if next(remaining, None) is None else f"{listed} and more"
