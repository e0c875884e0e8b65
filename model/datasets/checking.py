"""Data sets of runs that others will drive, checked here as far as they can be read here."""

from __future__ import annotations

import functools
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

from tapeworks.model.config import RunConfig
from tapeworks.model.datasets.cifar10 import find_batches
from tapeworks.model.datasets.loading import check_choice, check_dataset, read_source
from tapeworks.model.datasets.mnist import has_cached_mnist, has_mnist
from tapeworks.model.datasets.source import Source
from tapeworks.model.errors import DatasetError
from tapeworks.model.settings import Settings

#: Bytes of the largest .npz file that is read to be checked, unpacked.
LARGEST_CHECKED_FILE = 2**28


class Unreadable(Exception):
    """The data set cannot be read here, which says nothing of the scheduler's machine."""


def check_data(configs: Iterable[RunConfig]) -> list[str]:
    """Check the runs' data sets, and return a sentence for each that cannot be read here.

    Nothing is downloaded. Raises the `DatasetError` with which a run would end that cannot work.
    """
    read, unread = functools.cache(read_here), set[str]()
    for config in configs:
        check_dataset(config)
        try:
            source = read(config.dataset, config.data_dir, is_built_in=config.is_built_in)
        except Unreadable as reason:
            unread.add(f"{reason}: the scheduler will check that it has the run's images")
        else:
            check_choice(source, config)
    return sorted(unread)


def read_here(dataset: str, data_dir: str | None, *, is_built_in: bool) -> Source:
    """Return the whole data set. Raises `Unreadable`, or `DatasetError` for a damaged one."""
    try:
        _look(dataset, Path(data_dir) if data_dir else Settings(os.environ).data_dir)
        return read_source(dataset, data_dir, is_built_in=is_built_in)
    except OSError as error:
        raise Unreadable(f"{dataset} cannot be read here") from error
    except DatasetError as error:
        if isinstance(error.__cause__, OSError):
            raise Unreadable(f"{dataset} cannot be read here") from error
        raise


def _look(dataset: str, directory: Path | None) -> None:
    """Raise `OSError` for what is not here, and `Unreadable` for what is too large."""
    match dataset:
        case "mnist":
            is_here = has_mnist(directory) if directory else has_cached_mnist()
        case "cifar10":
            is_here = directory is not None and bool(find_batches(directory))
        case _ if dataset.lower().endswith(".npz"):
            is_here = Path(dataset).is_file()
            if is_here and _unpacked_bytes(Path(dataset)) > LARGEST_CHECKED_FILE:
                raise Unreadable(f"{dataset} is too large to be read for a check")
        case _:
            is_here = True
    if not is_here:
        raise FileNotFoundError(dataset)


def _unpacked_bytes(archive: Path) -> int:
    """The size of what the archive holds, as it says itself; of any other file its own."""
    try:
        with zipfile.ZipFile(archive) as members:
            return sum(each.file_size for each in members.infolist())
    except zipfile.BadZipFile:  # whose reader says what is wrong
        return archive.stat().st_size
