"""A shard's answer, slice by slice: the same bits however the slices and the shards are cut."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from tapeworks.model.engine import slices as computed_slices
from tapeworks.model.engine.gradients import Engine
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import Arrays, digest, from_bytes, initial, to_bytes
from tapeworks.model.reduction import Reduction, blocks
from tapeworks.wire.chunks import make_chunks
from tapeworks.wire.messages import AttemptKey, ShardMessage
from tapeworks.workers.compute import Missing, shard_arrays
from tests import reference_numpy
from tests.support.microbatches import SMALL, drawn_images, labels_of

EngineOf = Callable[[BuiltinNetwork], Engine]

#: Five microbatches, of which the last one has two images; spread over two chunks.
NETWORK, IMAGES = SMALL.model_copy(update={"microbatch_size": 4}), 18
NUMBERS = np.concatenate([np.arange(250, 262), np.arange(6)])
PIXELS, LABELS = drawn_images(262, 9), labels_of(262, NETWORK)
CHUNKS = make_chunks(PIXELS, LABELS)
PARAMETERS = to_bytes(initial(NETWORK, seed=3))

#: Bytes by digest, as Redis has them.
STORED = dict(zip(CHUNKS.digests, CHUNKS.payloads, strict=True)) | {digest(PARAMETERS): PARAMETERS}


def shard(first: int, microbatches: int, wanted: GradientForm) -> ShardMessage:
    """These microbatches of the image set."""
    images = NUMBERS[4 * first : 4 * (first + microbatches)]
    return ShardMessage(
        key=AttemptKey(run="run", term=1, iteration=0, shard=0, attempt=1),
        network=NETWORK,
        wanted=wanted,
        parameters_digest=digest(PARAMETERS),
        chunk_images=CHUNKS.chunk_images,
        chunks=CHUNKS.find_needed(images),
        first_microbatch=first,
        images=tuple(images.tolist()),
        fingerprint=None,
    )


def fetch(asked: ShardMessage) -> dict[str, Arrays]:
    """The stored ones of the payloads that it needs."""
    found = {name: STORED[name] for name in asked.payload_limits if name in STORED}
    assert all(len(payload) <= asked.payload_limits[name] for name, payload in found.items())
    return {name: from_bytes(payload) for name, payload in found.items()}


def answered(first: int, microbatches: int, wanted: GradientForm) -> Arrays:
    return from_bytes(shard_arrays(shard(first, microbatches, wanted), fetch))


@pytest.fixture
def per_image(engine_of: EngineOf) -> dict[str, NDArray[np.float32]]:
    """Every image's gradients, microbatch by microbatch."""
    parts = []
    for first in range(0, IMAGES, 4):
        rows = NUMBERS[first : first + 4]
        parts.append(engine_of(NETWORK)(from_bytes(PARAMETERS), PIXELS[rows], LABELS[rows]))
    return {name: np.concatenate([part.gradients[name] for part in parts]) for name in SMALL.shapes}


@pytest.fixture(params=[1, 2 * NETWORK.microbatch_bytes, 2**30], ids=["one", "two", "all"])
def slices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many microbatches are computed at a time."""
    monkeypatch.setattr(computed_slices, "SLICE_BYTES", request.param)


@pytest.mark.usefixtures("slices")
@pytest.mark.parametrize(("first", "microbatches"), [(0, 5), (1, 4), (1, 2), (4, 1)])
def test_a_shard_answers_with_the_sum_of_each_of_its_blocks(
    first: int, microbatches: int, per_image: Arrays
) -> None:
    arrays = answered(first, microbatches, GradientForm.SUMMED)

    for name, gradients in per_image.items():
        sums = [
            reference_numpy.microbatch_sum(gradients[place : place + 4])
            for place in range(0, IMAGES, 4)
        ]
        expected = [
            reference_numpy.block_sum(sums, block.first, 2**block.level)
            for block in blocks(first, microbatches)
        ]
        assert arrays[name].dtype == np.float64
        assert arrays[name].tobytes() == np.stack(expected).tobytes()


@pytest.mark.usefixtures("slices")
def test_a_shard_answers_with_every_image_s_gradient_and_values(per_image: Arrays) -> None:
    arrays = answered(1, 4, GradientForm.PER_IMAGE)

    for name, gradients in per_image.items():
        assert arrays[name].tobytes() == gradients[4:].tobytes()
    assert {name: len(arrays[name]) for name in ("losses", "gradient_norms", "predictions")} == {
        "losses": 14,
        "gradient_norms": 14,
        "predictions": 14,
    }


def test_an_evaluation_answers_with_no_gradients() -> None:
    assert set(answered(0, 5, GradientForm.NOTHING)) == {"losses", "gradient_norms", "predictions"}


@pytest.mark.usefixtures("slices")
@pytest.mark.parametrize("cuts", [[0, 5], [0, 1, 2, 3, 4, 5], [0, 3, 5], [0, 2, 3, 5]])
def test_all_shardings_have_one_total(cuts: list[int], per_image: Arrays) -> None:
    reduction = Reduction()

    for first, end in reversed(list(pairwise(cuts))):
        arrays = answered(first, end - first, GradientForm.SUMMED)
        reduction.add(first, end - first, {name: arrays[name] for name in NETWORK.shapes})

    for name, total in reduction.total(5).items():
        sums = [
            reference_numpy.microbatch_sum(per_image[name][place : place + 4])
            for place in range(0, IMAGES, 4)
        ]
        assert total.tobytes() == reference_numpy.image_set_sum(sums).tobytes()


def test_what_is_gone_from_redis_is_named() -> None:
    asked = shard(0, 5, GradientForm.SUMMED)
    gone = CHUNKS.digests[1]

    with pytest.raises(Missing) as raised:
        shard_arrays(asked, lambda asked: {n: a for n, a in fetch(asked).items() if n != gone})

    assert raised.value.digests == (gone,)


@pytest.mark.parametrize("number", [256, 9000])
def test_an_image_that_no_chunk_of_the_message_holds_is_no_image(number: int) -> None:
    asked = shard(0, 1, GradientForm.SUMMED)
    chunks = {0: CHUNKS.digests[0]}

    with pytest.raises((KeyError, IndexError)):
        shard_arrays(asked.model_copy(update={"images": (0, number), "chunks": chunks}), fetch)


def test_images_of_another_size_are_refused() -> None:
    asked = shard(0, 1, GradientForm.SUMMED)
    other = NETWORK.model_copy(update={"image_side": 10})
    others = {digest(to_bytes(initial(other, seed=0))): initial(other, seed=0)}
    [name] = others
    changed = asked.model_copy(update={"network": other, "parameters_digest": name})

    with pytest.raises(ValueError, match="shape"):
        shard_arrays(changed, lambda _: fetch(asked) | others)
