"""A run's choice from a data set."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.config import RunConfig
from tapeworks.model.datasets.cifar10 import read_cifar10
from tapeworks.model.datasets.digits import read_digits
from tapeworks.model.datasets.mnist import read_mnist
from tapeworks.model.datasets.own_files import read_own_file, refuse_for_built_in
from tapeworks.model.datasets.source import ImageData, Images, Labels, Part, Source, Split
from tapeworks.model.datasets.tables import TABLES, read_table
from tapeworks.model.errors import DatasetError
from tapeworks.model.labels import MOST_CLASSES

#: Of images in a part of a data set: their places in it.
Rows = NDArray[np.int64]

#: Data sets with a name of their own that the built-in network takes, and all of them.
GREY = ("digits", "mnist")
KNOWN = (*GREY, "cifar10", *TABLES)

#: Classes that a sentence lists before it says "and more".
LISTED_CLASSES = 20


def check_dataset(config: RunConfig) -> None:
    """Raise `DatasetError` unless this names a data set for this network, be it readable or not."""
    name = config.dataset
    if name in KNOWN:
        if config.is_built_in and name not in GREY:
            raise refuse_for_built_in(f"dataset={name}")
    elif not name.lower().endswith(".npz"):
        near = difflib.get_close_matches(name.lower(), KNOWN, n=1)
        raise DatasetError(
            f"There is no data set named {name!r}. "
            f"Expected {', '.join(KNOWN)}, or the path of an .npz file."
            + (f" Did you mean {near[0]}?" if near else "")
        )


def load(config: RunConfig) -> Split:
    """The first images of the wanted classes to train on, and those held out.

    Held-out images come from the data set's own test part when it has one, and otherwise are the
    ones that follow the training images. Raises `DatasetError` for a data set that is unknown,
    missing or damaged, not for this network, lacks a class, or has too few or too small images.
    """
    check_dataset(config)
    source = read_source(config.dataset, config.data_dir, is_built_in=config.is_built_in)
    classes, rows, test_rows = _choose(source, config)
    return Split(
        training=_take(source, source.training, config, classes, rows),
        test=_take(source, source.held_out or source.training, config, classes, test_rows),
        classes=classes,
        rows=rows,
    )


def check_choice(source: Source, config: RunConfig) -> None:
    """Raise the `DatasetError` that `load` would raise for a data set that was read."""
    _, *chosen = _choose(source, config)
    parts = (source.training, source.held_out or source.training)
    for part, rows in zip(parts, chosen, strict=True):
        if config.is_built_in and len(rows):
            source.fit(part.images[rows[:1]], config.image_side)


def _choose(source: Source, config: RunConfig) -> tuple[tuple[int, ...], Rows, Rows]:
    """The classes, and the rows of images to train on and of those held out in their parts."""
    classes = _resolve_classes(source.training, config)
    held_out = source.held_out or source.training
    start = 0 if source.held_out else config.images
    stop = start + config.test_images
    return (
        classes,
        _find(source, source.training, config, classes, slice(0, config.images)),
        _find(source, held_out, config, classes, slice(start, stop)),
    )


def read_source(dataset: str, data_dir: str | None, *, is_built_in: bool) -> Source:
    """The whole data set; raises `DatasetError` when it cannot be read."""
    try:
        return _read(dataset, data_dir, is_built_in=is_built_in)
    except OSError as error:
        raise DatasetError(f"{dataset} cannot be read: {error}.") from error


def _read(dataset: str, data_dir: str | None, *, is_built_in: bool) -> Source:
    match dataset:
        case "digits":
            return read_digits()
        case "mnist":
            return read_mnist(data_dir)
        case "cifar10":
            return read_cifar10(data_dir)
        case _ if dataset in TABLES:
            return read_table(dataset)
    return read_own_file(Path(dataset), is_built_in=is_built_in)


def _resolve_classes(part: Part, config: RunConfig) -> tuple[int, ...]:
    if part.has_targets:
        if config.classes:
            raise DatasetError(
                f"{config.dataset} has float targets, not labels. Expected no classes. "
                f"Received: classes={_list_labels(config.classes)}."
            )
        return ()
    present = np.unique(part.labels).tolist()
    for label in config.classes:
        if label not in present:
            raise DatasetError(
                f"{config.dataset} has no class {label}. Its classes are {_list_labels(present)}. "
                f"Received: classes={_list_labels(config.classes)}."
            )
    if not config.classes and len(present) == 1:
        raise DatasetError(
            f"{config.dataset} has the class {present[0]} alone. Expected two or more, or float "
            "targets as labels."
        )
    if not config.classes and len(present) > MOST_CLASSES:
        raise DatasetError(
            f"{config.dataset} has {len(present)} classes. Expected at most {MOST_CLASSES}. "
            "Choose some with --classes, or make the labels float targets."
        )
    return config.classes or tuple(present)


def _find(
    source: Source, part: Part, config: RunConfig, classes: tuple[int, ...], places: slice
) -> Rows:
    """The rows in the part at these places of those that belong to the classes."""
    wanted = np.ones(len(part.labels), bool) if part.has_targets else np.isin(part.labels, classes)
    positions = np.flatnonzero(wanted)
    if len(positions) < places.stop:
        kind = "held-out images" if part is source.held_out else "images"
        of_classes = f" of the classes {_list_labels(classes)}" if classes else ""
        raise DatasetError(
            f"{config.dataset} has {len(positions)} {kind}{of_classes}. "
            f"Expected at least {places.stop}. "
            f"Received: images={config.images}, test_images={config.test_images}."
        )
    return positions[places]


def _take(
    source: Source, part: Part, config: RunConfig, classes: tuple[int, ...], rows: Rows
) -> ImageData:
    images: Images = part.images[rows]
    labels = part.labels[rows]
    return ImageData(
        images=source.fit(images, config.image_side) if config.is_built_in else images,
        labels=labels if part.has_targets else _index(labels, classes),
    )


def _index(labels: Labels, classes: tuple[int, ...]) -> Labels:
    """The place of each label among the classes."""
    order = np.argsort(classes)
    return order[np.searchsorted(classes, labels, sorter=order)].astype(np.uint8)


def _list_labels(labels: Iterable[int]) -> str:
    remaining = iter(labels)
    listed = ",".join(map(str, islice(remaining, LISTED_CLASSES)))
    return listed if next(remaining, None) is None else f"{listed} and more"
