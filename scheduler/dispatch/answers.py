"""An answer, checked to the last byte before anything of it is counted."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
from pydantic import ValidationError

from tapeworks.model.errors import ParametersError
from tapeworks.model.networks.spec import PREDICTIONS, GradientForm
from tapeworks.model.parameters import Arrays, from_bytes
from tapeworks.model.reduction import block_sums, blocks
from tapeworks.scheduler.core.decisions import Attempt
from tapeworks.scheduler.core.sharding import Shard, split
from tapeworks.scheduler.dispatch.contract import Outcome, Work
from tapeworks.scheduler.errors import AnswerInvalid
from tapeworks.wire.limits import (
    HEAD_BYTES,
    LARGEST_SHARD_IMAGES,
    MISSING_BYTES,
    MOST_SHARD_CHUNKS,
    USUAL_ANSWER_BYTES,
)
from tapeworks.wire.messages import AnswerHeader, checksum

#: Characters of what a worker sent that are shown in a sentence about it.
SHOWN_CHARACTERS = 200

Layout = dict[str, tuple[type[np.generic], tuple[int, ...]]]


def layout(work: Work, shard: Shard) -> Layout:
    """The dtype and shape of every array that an answer to this shard must hold, and no other."""
    images, sums = len(shard.images), len(blocks(shard.first_microbatch, shard.microbatches))
    values = work.network.image_values(work.wanted)
    arrays: Layout = {name: (np.dtype(kind).type, (images,)) for name, kind in values.items()}
    for name, shape in work.network.shapes.items():
        if work.wanted is GradientForm.PER_IMAGE:
            arrays[name] = (np.float32, (images, *shape))
        elif work.wanted is GradientForm.SUMMED:
            arrays[name] = (np.float64, (sums, *shape))
    return arrays


def largest_bytes(work: Work, shard: Shard) -> int:
    """No valid answer to this shard has longer arrays."""
    sizes = (
        np.dtype(dtype).itemsize * math.prod(shape) for dtype, shape in layout(work, shard).values()
    )
    return sum(sizes) + work.network.header_bytes


def longest_answer(work: Work, shard: Shard) -> int:
    """Bytes of the longest valid answer to this shard, with what stands before its arrays."""
    missing = min(len(shard.images), MOST_SHARD_CHUNKS) + 1
    return HEAD_BYTES + MISSING_BYTES * missing + largest_bytes(work, shard)


def fewest_shards(work: Work) -> int:
    """Shards into which the work is cut so that each fits into a message and an answer.

    Twice as many as they need: shards differ by a microbatch, and in the number of their sums.
    """
    [whole] = split(work.images, work.network.microbatch_size, 1)
    parts = (
        len(whole.images) / LARGEST_SHARD_IMAGES,
        largest_bytes(work, whole) / USUAL_ANSWER_BYTES,
    )
    return 1 if max(parts) <= 1 else math.ceil(2 * max(parts))


def read_header(payload: bytes, work: Work, attempt: Attempt) -> AnswerHeader:
    """The header, if it answers this very attempt. Raises `AnswerInvalid`."""
    try:
        header = AnswerHeader.model_validate_json(payload)
    except ValidationError as error:
        raise AnswerInvalid("its header cannot be read") from error
    if header.key != work.key(attempt.shard.index, attempt.number):
        raise AnswerInvalid(f"expected attempt {attempt.id}, received {_shorten(header.key.id)}")
    if header.parameters_digest != work.parameters_digest:
        received = _shorten(header.parameters_digest)
        expected = f"parameters_digest={work.parameters_digest}"
        raise AnswerInvalid(f"expected {expected}, received {received}")
    return header


def _shorten(value: object) -> str:
    """Return the text for SQL and terminals, cut to what a person would read."""
    text = str(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def worker_of(payload: bytes) -> str | None:
    """The worker that a header names, even if it answers something else."""
    try:
        return AnswerHeader.model_validate_json(payload).worker
    except ValidationError:
        return None


def read_arrays(payload: bytes, header: AnswerHeader, work: Work, attempt: Attempt) -> Arrays:
    """The arrays, if all are there, shaped as they must be, and arrived as they were sent.

    Raises `AnswerInvalid`. Whether they are finite is left to the caller: a run that diverges gives
    infinities on every worker.
    """
    if checksum(payload) != header.payload_checksum:
        raise AnswerInvalid("its bytes are not those that were sent")
    try:
        arrays = from_bytes(payload)
    except ParametersError as error:
        raise AnswerInvalid("its arrays cannot be read") from error
    expected = layout(work, attempt.shard)
    if set(arrays) != set(expected):
        raise AnswerInvalid(
            f"expected arrays {sorted(expected)}, received {_shorten(sorted(arrays))}"
        )
    for name, (dtype, shape) in expected.items():
        if arrays[name].dtype != dtype or arrays[name].shape != shape:
            raise AnswerInvalid(
                f"expected {name} as {np.dtype(dtype)} {shape}, "
                f"received {arrays[name].dtype} {_shorten(arrays[name].shape)}"
            )
    classes = work.network.classes_predicted
    if classes is not None:
        predictions = arrays[PREDICTIONS]
        if not ((predictions >= 0) & (predictions < classes)).all():
            raise AnswerInvalid(f"expected predictions of {classes} classes, received others")
    return arrays


def outcome_of(arrays: Arrays, header: AnswerHeader, work: Work, attempt: Attempt) -> Outcome:
    """A checked answer, without its gradients."""
    names = work.network.image_values(work.wanted)
    return Outcome(
        shard=attempt.shard,
        values={name: arrays[name] for name in names},
        key=header.key,
        worker=header.worker,
        seconds=header.seconds,
        received_at=datetime.now(UTC),
    )


def sums_of(arrays: Arrays, work: Work, shard: Shard) -> Arrays:
    """The sums of the shard's blocks in a checked answer; none in an evaluation's."""
    if work.wanted is GradientForm.NOTHING:
        return {}
    gradients = {name: arrays[name] for name in work.network.shapes}
    if work.wanted is GradientForm.SUMMED:
        return gradients
    return block_sums(gradients, shard.first_microbatch, work.network.microbatch_size)
