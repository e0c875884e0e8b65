"""Which data set a run's configuration names."""

from __future__ import annotations

import difflib
from pathlib import Path

from tapeworks.model.config import RunConfig
from tapeworks.model.datasets.digits import read_digits
from tapeworks.model.datasets.mnist import read_mnist
from tapeworks.model.datasets.npz import read_own_file
from tapeworks.model.datasets.source import Source
from tapeworks.model.errors import DatasetError

#: Data sets with a name of their own.
KNOWN = ("digits", "mnist")


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
