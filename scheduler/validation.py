"""An answer, checked to the last byte before anything of it is counted."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
from pydantic import ValidationError

from model.average import microbatch_sums
from model.errors import ParametersError
from model.parameters import Arrays, from_bytes
from scheduler.commands import Attempt
from scheduler.errors import AnswerInvalid
from scheduler.sharding import Shard
from scheduler.work import Outcome, Work
from workers.limits import ARRAYS_HEADER_BYTES, LARGEST_SHARD_IMAGES, USUAL_ANSWER_BYTES
from workers.messages import (
    GRADIENT_NORMS,
    LOSSES,
    PREDICTIONS,
    AnswerHeader,
    Wanted,
    checksum,
)

#: Characters of what a worker sent that are shown in a sentence about it.
SHOWN_CHARACTERS = 200

Layout = dict[str, tuple[type[np.generic], tuple[int, ...]]]


def layout(work: Work, shard: Shard) -> Layout:
    """The dtype and shape of every array that an answer to this shard must hold, and no other."""
    images, microbatches = len(shard.images), len(shard.microbatches)
    arrays: Layout = {
        LOSSES: (np.float32, (images,)),
        GRADIENT_NORMS: (np.float32, (images,)),
        PREDICTIONS: (np.int32, (images,)),
    }
    for name, shape in work.network.shapes.items():
        if work.wanted is Wanted.PER_IMAGE:
            arrays[name] = (np.float32, (images, *shape))
        elif work.wanted is Wanted.SUMMED:
            arrays[name] = (np.float64, (microbatches, *shape))
    return arrays


def largest_bytes(work: Work, shard: Shard) -> int:
    """No valid answer to this shard is longer."""
    sizes = (
        np.dtype(dtype).itemsize * math.prod(shape) for dtype, shape in layout(work, shard).values()
    )
    return sum(sizes) + ARRAYS_HEADER_BYTES


def fewest_shards(work: Work) -> int:
    """Shards into which the work is cut so that each fits into a message and an answer.

    Twice as many as their sums need: shards differ by a microbatch.
    """
    whole = Shard(index=0, microbatches=tuple(work.microbatches))
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
    expected = {
        "attempt_id": attempt.id,
        "run_id": work.run_id,
        "epoch": work.epoch,
        "iteration": work.iteration,
        "shard": attempt.shard.index,
        "attempt": attempt.number,
        "parameters_digest": work.parameters_digest,
        "microbatches": tuple(microbatch.index for microbatch in attempt.shard.microbatches),
    }
    for name, value in expected.items():
        if getattr(header, name) != value:
            received = _shown(getattr(header, name))
            raise AnswerInvalid(f"expected {name}={_shown(value)}, received {received}")
    return header


def _shown(value: object) -> str:
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
            f"expected arrays {sorted(expected)}, received {_shown(sorted(arrays))}"
        )
    for name, (dtype, shape) in expected.items():
        if arrays[name].dtype != dtype or arrays[name].shape != shape:
            raise AnswerInvalid(
                f"expected {name} as {np.dtype(dtype)} {shape}, "
                f"received {arrays[name].dtype} {_shown(arrays[name].shape)}"
            )
    classes = work.network.class_count
    if not ((arrays[PREDICTIONS] >= 0) & (arrays[PREDICTIONS] < classes)).all():
        raise AnswerInvalid(f"expected predictions of {classes} classes, received others")
    return arrays


def outcomes(arrays: Arrays, header: AnswerHeader, work: Work, attempt: Attempt) -> list[Outcome]:
    """A checked answer, microbatch by microbatch."""
    received_at, row, separate = datetime.now(UTC), 0, []
    for place, microbatch in enumerate(attempt.shard.microbatches):
        rows = slice(row, row + len(microbatch.images))
        separate.append(
            Outcome(
                microbatch=microbatch,
                sums=_sums(arrays, work, place, rows),
                losses=arrays[LOSSES][rows],
                gradient_norms=arrays[GRADIENT_NORMS][rows],
                predictions=arrays[PREDICTIONS][rows],
                shard=attempt.shard.index,
                attempt=attempt.number,
                epoch=header.epoch,
                worker=header.worker,
                seconds=header.seconds,
                received_at=received_at,
            )
        )
        row = rows.stop
    return separate


def _sums(arrays: Arrays, work: Work, place: int, rows: slice) -> Arrays:
    if work.wanted is Wanted.NOTHING:
        return {}
    if work.wanted is Wanted.SUMMED:
        return {name: arrays[name][place] for name in work.network.shapes}
    gradients = {name: arrays[name][rows] for name in work.network.shapes}
    sums = microbatch_sums(gradients, work.network.microbatch_size)
    return {name: array[0] for name, array in sums.items()}
