"""A run's choice from a data set, and images from elsewhere fitted to a run's network."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np

from tapeworks.model.config import RunConfig
from tapeworks.model.datasets.digits import enlarge, read_digits
from tapeworks.model.datasets.mnist import MNIST_SIDE, read_mnist
from tapeworks.model.datasets.readers import read_own_file
from tapeworks.model.datasets.source import ImageData, Images, Part, Source, Split, crop
from tapeworks.model.errors import DatasetError

#: Data sets with a name of their own.
KNOWN = ("digits", "mnist")

#: Classes that a sentence lists before it says "and more".
LISTED_CLASSES = 20


def fit_images(images: Images, config: RunConfig, file: Path) -> Images:
    """(n, rows, columns) as (n, side, side): resampled, cropped, or as they are.

    Images of the network's side stay as they are. For a run on digits, square ones are resampled;
    for one on MNIST, those of its 28 by 28 pixels are cropped; for one on a user's own file, all
    that are large enough. Raises `DatasetError` for others.
    """
    rows, columns = images.shape[1:]
    side = config.image_side
    if (rows, columns) == (side, side):
        return images
    if config.dataset == "digits":
        _expect(rows == columns, "square images", rows, columns, file)
        return enlarge(images, side)
    if config.dataset == "mnist":
        expected = f"images of {MNIST_SIDE} by {MNIST_SIDE} or {side} by {side} pixels"
        _expect((rows, columns) == (MNIST_SIDE, MNIST_SIDE), expected, rows, columns, file)
    expected = f"images of at least {side} by {side} pixels"
    _expect(min(rows, columns) >= side, expected, rows, columns, file)
    return crop(images, side)


def _expect(right: bool, expected: str, rows: int, columns: int, file: Path) -> None:
    if not right:
        raise DatasetError(
            f"Expected {expected} in {file}, like those of the run. Received: {rows} by {columns}."
        )


def read_source(config: RunConfig) -> Source:
    """The whole data set; raises `DatasetError` when it is unknown or cannot be read."""
    try:
        return _read(config)
    except OSError as error:
        raise DatasetError(f"{config.dataset} cannot be read: {error}.") from error


def check_name(dataset: str) -> None:
    """Raise `DatasetError` unless this names a data set, be it readable or not."""
    if dataset in KNOWN or dataset.lower().endswith(".npz"):
        return
    near = difflib.get_close_matches(dataset.lower(), KNOWN, n=1)
    raise DatasetError(
        f"There is no data set named {dataset!r}. "
        "Expected digits, mnist, or the path of an .npz file."
        + (f" Did you mean {near[0]}?" if near else "")
    )


def _read(config: RunConfig) -> Source:
    check_name(config.dataset)
    if config.dataset == "digits":
        return read_digits()
    if config.dataset == "mnist":
        return read_mnist(config.data_dir)
    return read_own_file(Path(config.dataset))


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
                f"{config.dataset} has no class {label}. Its classes are {_list_labels(present)}. "
                f"Received: classes={_list_labels(config.classes)}."
            )


def _take(source: Source, part: Part, config: RunConfig, start: int, stop: int) -> ImageData:
    """Images `start` to `stop` of those in the part that belong to the run's classes."""
    positions = np.flatnonzero(np.isin(part.labels, config.classes))
    if len(positions) < stop:
        kind = "held-out images" if part is source.held_out else "images"
        raise DatasetError(
            f"{config.dataset} has {len(positions)} {kind} of the classes "
            f"{_list_labels(config.classes)}. Expected at least {stop}. "
            f"Received: images={config.images}, test_images={config.test_images}."
        )
    chosen = positions[start:stop]
    matches = part.labels[chosen, np.newaxis] == np.array(config.classes)  # (images, classes)
    return ImageData(
        images=source.fit(part.images[chosen], config.image_side),
        labels=matches.argmax(axis=1).astype(np.uint8),
    )


def _list_labels(labels: Iterable[int]) -> str:
    remaining = iter(labels)
    listed = ",".join(map(str, islice(remaining, LISTED_CLASSES)))
    return listed if next(remaining, None) is None else f"{listed} and more"
