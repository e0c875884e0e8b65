"""The problem that every framework is given: an example network, and a batch for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.processes import ROOT
from tapeworks.model.images import normalise
from tapeworks.model.networks.own.spec import Backward, OwnNetwork
from tapeworks.model.networks.spec import ArrayKind
from tapeworks.model.parameters import Arrays

#: Shape of an image, by the network's name.
IMAGE_SHAPES = {"lenet": (28, 28), "resnet": (32, 32, 3)}

CLASSES = 10

#: Images in a batch, and in a microbatch.
BATCH = 64

#: Batches that Keras's `fit` is given, so that its beginning and its end weigh little.
FIT_BATCHES = {"lenet": 128, "resnet": 16}

#: Of the peers' own updates: so small that each call has the loss of the one before.
LEARNING_RATE = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExampleProblem:
    """A batch of random images for a network of `examples/`."""

    name: str
    source: str
    parameters: Arrays
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    @property
    def pixels(self) -> NDArray[np.float32]:
        """The images as networks see them, (n, rows, columns, channels)."""
        pixels = normalise(self.images)
        return pixels if pixels.ndim == 4 else pixels[..., np.newaxis]

    def network(self, backward: Backward, digest: str) -> OwnNetwork:
        """The network as Tapeworks computes it, a microbatch for the batch."""
        return OwnNetwork(
            source_digest=digest,
            arrays=tuple((name, array.shape) for name, array in self.parameters.items()),
            input_shape=self.images.shape[1:],
            input_kind=ArrayKind.BYTES,
            target_shape=(),
            target_kind=ArrayKind.BYTES,
            has_logits=True,
            backward=backward,
            operations=0,
            class_count=CLASSES,
            microbatch_size=len(self.images),
        )


def example_path(name: str) -> str:
    """The file of a network."""
    return str(ROOT / "examples" / f"{name}.py")


def load_problem(name: str) -> ExampleProblem:
    """The problem of a network, the same one every time."""
    from tapeworks.model.networks.own.allowed import allow, read_source
    from tapeworks.model.networks.own.module import load_module

    draw = np.random.default_rng(1)
    source = read_source(example_path(name))
    return ExampleProblem(
        name=name,
        source=source,
        parameters=load_module(allow(source)).parameters(1),
        images=draw.integers(0, 256, (BATCH, *IMAGE_SHAPES[name])).astype(np.uint8),
        labels=draw.integers(0, CLASSES, BATCH).astype(np.uint8),
    )
