"""The data sets that runs would find on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tapeworks.doctor.findings import Finding, looked, ok
from tapeworks.model import datasets
from tapeworks.model.config import RunConfig
from tapeworks.model.environment import variable

LABEL = "data set"

#: Names the directory of MNIST's files.
DATA_DIR = "TAPEWORKS_DATA_DIR"


def check_data_sets(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Load the digits, and MNIST where its directory is named: else it would be downloaded."""
    yield from looked(LABEL, lambda: [_loaded(RunConfig())])
    yield from looked(LABEL, lambda: _mnist(environment))


def _mnist(environment: Mapping[str, str]) -> Iterator[Finding]:
    if variable(environment, DATA_DIR):
        yield _loaded(RunConfig(dataset="mnist"))


def _loaded(config: RunConfig) -> Finding:
    images = datasets.load(config).training.images
    side, other = images.shape[1:3]
    return ok(LABEL, f"{config.dataset}, {len(images)} images of {side} × {other}")
