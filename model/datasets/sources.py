"""Which data set a run's configuration names."""

from __future__ import annotations

import difflib
from pathlib import Path

from model.config import RunConfig
from model.datasets.digits import read_digits
from model.datasets.mnist import read_mnist
from model.datasets.npz import read_own_file
from model.datasets.source import Source
from model.errors import DatasetError


def read_source(config: RunConfig) -> Source:
    """The whole data set; raises `DatasetError` when it is unknown or cannot be read."""
    try:
        return _read(config)
    except OSError as error:
        raise DatasetError(f"{config.dataset} cannot be read: {error}.") from error


def _read(config: RunConfig) -> Source:
    if config.dataset == "digits":
        return read_digits()
    if config.dataset == "mnist":
        return read_mnist(config.data_dir)
    if config.dataset.lower().endswith(".npz"):
        return read_own_file(Path(config.dataset))
    near = difflib.get_close_matches(config.dataset.lower(), ("digits", "mnist"), n=1)
    raise DatasetError(
        f"There is no data set named {config.dataset!r}. "
        "Expected digits, mnist, or the path of an .npz file."
        + (f" Did you mean {near[0]}?" if near else "")
    )
