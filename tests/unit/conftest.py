"""Common to numerical tests: the seed's reference run and the images it was made with."""

from __future__ import annotations

import functools
import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from tapeworks.model.networks.builtin.spec import BuiltinNetwork

if TYPE_CHECKING:
    from tapeworks.model.engine.gradients import Engine

#: Where the seed's reference run is kept, unless TAPEWORKS_REFERENCE_DIR names another place.
REFERENCE_DIR = Path(__file__).resolve().parents[3] / "shared" / "reference"

#: The seed's network and others: kernel 1, one filter, one layer, many, more classes.
NETWORKS = {
    "the seed's": BuiltinNetwork(),
    "two layers, three classes": BuiltinNetwork(
        image_side=9, kernel_sizes=(2, 3), filters=2, class_count=3
    ),
    "one layer of one filter": BuiltinNetwork(image_side=6, kernel_sizes=(4,), filters=1),
    "kernel 1, four classes": BuiltinNetwork(
        image_side=5, kernel_sizes=(1,), filters=3, class_count=4, microbatch_size=5
    ),
    "one pixel left": BuiltinNetwork(image_side=7, kernel_sizes=(3, 1, 5), filters=2),
    "five layers, five classes": BuiltinNetwork(
        image_side=8, kernel_sizes=(1, 3, 1, 2, 2), filters=3, class_count=5
    ),
}


@pytest.fixture(scope="session")
def seed_reference() -> dict[str, NDArray[np.floating]]:
    """The arrays that the seed document's own program left behind, by name."""
    directory = Path(os.environ.get("TAPEWORKS_REFERENCE_DIR", REFERENCE_DIR))
    path = directory / "seed_10x5.npz"
    if not path.exists():
        pytest.skip(f"the seed's reference run is not at {path}: set TAPEWORKS_REFERENCE_DIR")
    with np.load(path) as stored:
        return dict(stored)


@pytest.fixture(scope="session")
def seed_digits(mnist_dir: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The reference run's images, (10, 27, 27), and their classes: 0 for a 3, 1 for a 6.

    They are the first ten 3s and 6s of MNIST's test images.
    """
    paths = [mnist_dir / f"t10k-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
    for path in paths:
        if not path.exists():
            pytest.skip(f"MNIST's test images are not at {path}: set TAPEWORKS_DATA_DIR")
    stored = [np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8) for path in paths]
    images, labels = stored[0][16:].reshape(-1, 28, 28), stored[1][8:]
    chosen = np.flatnonzero((labels == 3) | (labels == 6))[:10]
    return images[chosen, :-1, :-1].copy(), (labels[chosen] == 6).astype(np.int64)


@pytest.fixture(params=NETWORKS.values(), ids=list(NETWORKS))
def network(request: pytest.FixtureRequest) -> BuiltinNetwork:
    """Each of the networks that both unfoldings are compared on."""
    chosen: BuiltinNetwork = request.param
    return chosen


@pytest.fixture(scope="session")
def engine_of() -> Callable[[BuiltinNetwork], Engine]:
    """Gives a network's engine, compiled once per session: compiling one takes seconds."""
    from tapeworks.model.engine.gradients import (
        engine,  # here, so that other tests do without TensorFlow
    )

    return functools.cache(engine)
