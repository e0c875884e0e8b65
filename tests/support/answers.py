"""Answers as workers give them, made by hand: right ones, to be spoilt by the tests."""

from __future__ import annotations

import numpy as np

from tapeworks.model.datasets.source import ImageData
from tapeworks.model.engine.results import EngineResult
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import digest, initial, to_bytes
from tapeworks.model.reduction import gradients_as_wanted
from tapeworks.scheduler.core.decisions import Attempt
from tapeworks.scheduler.core.sharding import split
from tapeworks.scheduler.dispatch.contract import Work
from tapeworks.wire.messages import AnswerHeader, Status, checksum

#: So small that a whole answer can be read in a failing test's output.
NETWORK = BuiltinNetwork(image_side=4, kernel_sizes=(2,), filters=1, microbatch_size=3)

#: Images in the work: two full microbatches and one of two images.
IMAGES = 8


def work(wanted: GradientForm = GradientForm.PER_IMAGE) -> Work:
    """An iteration of eight images in three microbatches."""
    parameters = to_bytes(initial(NETWORK, seed=0))
    data = ImageData(images=np.zeros((IMAGES, 4, 4), np.uint8), labels=np.zeros(IMAGES, np.uint8))
    return Work(
        run_id="run",
        term=2,
        iteration=5,
        network=NETWORK,
        wanted=wanted,
        parameters=parameters,
        parameters_digest=digest(parameters),
        data=data,
        images=np.arange(IMAGES),
        shards=1,
    )


def attempt(asked: Work) -> Attempt:
    """The second attempt at the work's only shard."""
    [shard] = split(asked.images, asked.network.microbatch_size, 1)
    return Attempt(id=asked.key(0, 2).id, shard=shard, number=2, sent_at=0.0)


def results(asked: Work, seed: int = 0) -> list[EngineResult]:
    """Random results that an engine might give for the work's microbatches, each by itself."""
    source = np.random.default_rng(seed)

    def random(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return source.standard_normal(shape).astype(np.float32)

    size = NETWORK.microbatch_size
    counts = [min(size, IMAGES - first) for first in range(0, len(asked.images), size)]
    return [
        EngineResult(
            gradients=gradients_as_wanted(
                {name: random(count, *shape) for name, shape in NETWORK.shapes.items()},
                asked.wanted,
                size,
            ),
            values={
                "losses": random(count),
                "gradient_norms": random(count),
                "predictions": np.arange(count, dtype=np.int32) % NETWORK.class_count,
            },
        )
        for count in counts
    ]


def header(asked: Work, payload: bytes) -> AnswerHeader:
    """The header that belongs to these arrays."""
    to = attempt(asked)
    return AnswerHeader(
        key=asked.key(to.shard.index, to.number),
        parameters_digest=asked.parameters_digest,
        status=Status.DONE,
        worker="worker-1",
        fingerprint="abc",
        seconds=0.5,
        payload_checksum=checksum(payload),
    )
