"""Messages between scheduler and workers; everything is checked as it is read."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

import xxhash
from pydantic import BaseModel, ConfigDict, FailFast, Field, model_validator

from tapeworks.model.networks.kinds import AnyNetwork
from tapeworks.model.networks.spec import Digest, GradientForm
from tapeworks.model.reduction import blocks
from tapeworks.wire.limits import (
    ARRAYS_HEADER_BYTES,
    LARGEST_ANSWER_BYTES,
    LARGEST_PAYLOAD_BYTES,
    LARGEST_QUANTITY,
    LARGEST_SHARD_BYTES,
    LARGEST_SHARD_IMAGES,
    LONGEST_NAME,
    LONGEST_SECONDS,
    MOST_SHARD_CHUNKS,
    MOST_WORKERS,
)
from tapeworks.wire.signing import KEY_ID_DIGITS

#: What a worker says of itself ends up in SQL and on terminals.
Text = Annotated[str, Field(max_length=4000, pattern=r"^[^\x00]*$")]
Name = Annotated[str, Field(max_length=LONGEST_NAME, pattern=r"^[^\x00]*$")]
#: Leaves room for the rest of an attempt's id.
RunName = Annotated[str, Field(max_length=LONGEST_NAME - 50, pattern=r"^[^\x00]*$")]
Number = Annotated[int, Field(ge=0, lt=2**31)]
Fingerprint = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[0-9a-f]*$")]
Seconds = Annotated[float, Field(ge=0, le=LONGEST_SECONDS, allow_inf_nan=False)]
Quantity = Annotated[float, Field(ge=0, le=LARGEST_QUANTITY, allow_inf_nan=False)]
KeyId = Annotated[str, Field(max_length=KEY_ID_DIGITS, pattern=r"^[0-9a-f]*$")]


def checksum(payload: bytes) -> str:
    """XXH3 in 128 bits: tells whether bytes arrived as they were sent, but no forgery.

    SHA-256 would take a quarter of the time that computing the gradients takes.
    """
    return xxhash.xxh3_128_hexdigest(payload)


class Status(StrEnum):
    """The end of an attempt."""

    DONE = "done"  #: computed; the arrays are beside the header
    MISSING = "missing"  #: images or parameters are gone from Redis
    REFUSED = "refused"  #: this worker's fingerprint is not the run's
    LEFT = "left"  #: the message names this worker among those that it is not for
    FAILED = "failed"  #: the computation raised an error
    NOT_ALLOWED = "not-allowed"  #: this worker may not run the user's network


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AttemptKey(_Message):
    """The identity of one sending of one shard, over all runs."""

    run: RunName
    term: Number  #: of the claim under which it was sent
    iteration: Number  #: an evaluation has that of the iteration that would come next
    shard: Number
    attempt: Number  #: counted from 1
    evaluation: bool = False

    @property
    def id(self) -> str:
        """`run.term.iteration.shard.attempt`; an evaluation's iteration is written `e5`."""
        kind = "e" if self.evaluation else ""
        return f"{self.run}.{self.term}.{kind}{self.iteration}.{self.shard}.{self.attempt}"


class ShardMessage(_Message):
    """One attempt at one shard: all that a worker needs to know, but for the bytes in Redis."""

    key: AttemptKey
    network: AnyNetwork
    wanted: GradientForm
    parameters_digest: Digest
    chunk_images: Annotated[int, Field(ge=1, le=65536)]  #: images in a chunk
    #: Digest of each chunk that holds images of this shard, by number.
    chunks: Annotated[dict[Number, Digest], Field(max_length=MOST_SHARD_CHUNKS)]
    first_microbatch: Number  #: place of its first one in the image set
    #: Numbers of its images in the run's data. Each `network.microbatch_size` of them are a
    #: microbatch; fewer at the end are the last one of the image set. That nothing follows them
    #: there only the scheduler can know, which takes no answer of another length.
    images: Annotated[
        tuple[Number, ...], FailFast(), Field(min_length=1, max_length=LARGEST_SHARD_IMAGES)
    ]
    fingerprint: Fingerprint | None  #: the only one that may answer; None accepts any
    #: Names of workers that must leave it to others.
    not_for: Annotated[tuple[Name, ...], FailFast(), Field(max_length=MOST_WORKERS)] = ()

    @property
    def microbatches(self) -> int:
        """Their number; its images make up all but the last one wholly."""
        return -(-len(self.images) // self.network.microbatch_size)

    @property
    def largest_chunk_bytes(self) -> int:
        """No chunk of this shard is longer: images, with a label or targets of each."""
        return self.chunk_images * self.network.image_bytes + ARRAYS_HEADER_BYTES

    @property
    def largest_parameters_bytes(self) -> int:
        """No parameters of this network are longer."""
        return 4 * self.network.parameter_count + self.network.header_bytes

    @property
    def payload_limits(self) -> dict[str, int]:
        """Digests of the parameters and chunks that it needs, and how long each may be."""
        limits = {self.parameters_digest: self.largest_parameters_bytes}
        return limits | dict.fromkeys(self.chunks.values(), self.largest_chunk_bytes)

    @property
    def answer_bytes(self) -> int:
        """The arrays that this asks for: some numbers for each image, and gradients."""
        rows = {
            GradientForm.PER_IMAGE: 4 * len(self.images),
            GradientForm.SUMMED: 8 * len(blocks(self.first_microbatch, self.microbatches)),
            GradientForm.NOTHING: 0,
        }
        numbers = len(self.network.image_values(self.wanted)) * len(self.images)
        return 4 * numbers + rows[self.wanted] * self.network.parameter_count

    @model_validator(mode="after")
    def _asks_for_little(self) -> Self:
        """Limit what a worker that takes this message allocates to what is stated."""
        if not self.network.fits:
            raise ValueError("Expected a network that a worker can hold.")
        for name, received, most in (
            ("bytes of an answer", self.answer_bytes, LARGEST_ANSWER_BYTES),
            ("bytes of parameters", self.largest_parameters_bytes, LARGEST_PAYLOAD_BYTES),
            ("bytes of a chunk", self.largest_chunk_bytes, LARGEST_PAYLOAD_BYTES),
            ("bytes of chunks", len(self.chunks) * self.largest_chunk_bytes, LARGEST_SHARD_BYTES),
        ):
            if received > most:
                raise ValueError(f"Expected at most {most} {name}. Received: {received}")
        return self


class AnswerHeader(_Message):
    """A worker's report of its attempt; the arrays stand beside it as safetensors bytes."""

    key: AttemptKey  #: the message's
    parameters_digest: Name
    status: Status
    detail: Text = ""  #: the error, if it failed; the remedy, if it is not allowed
    #: Digests that were not in Redis.
    missing: Annotated[tuple[Name, ...], FailFast(), Field(max_length=MOST_SHARD_CHUNKS + 1)] = ()
    worker: Name
    fingerprint: Fingerprint
    seconds: Seconds  #: the worker spent on it
    payload_checksum: Name = ""  #: `checksum` of the arrays' bytes


class _Record(BaseModel):
    """The record that a process shows of itself every second, for people, never for correctness.

    Processes of other versions show less, or more, and are to be seen all the same: what is not
    told is empty, what is not known is left out.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Name
    host: Name
    pid: Number
    since: Name  #: ISO 8601, UTC
    state: Name
    version: Name = ""  #: of Tapeworks
    python: Name = ""
    clock: Name = ""  #: this machine's time as it showed itself: ISO 8601, UTC


class WorkerRecord(_Record):
    """A worker; its state is starting, idle or busy."""

    shard_in_hand: Name | None = None
    images: Annotated[int, Field(ge=0, le=LARGEST_QUANTITY)] = 0  #: computed since it started
    busy_seconds: Quantity = 0.0  #: spent on them
    images_per_second: Quantity = 0.0  #: while computing
    memory_mb: Quantity = 0.0
    fingerprint: Name | None = None
    tensorflow: Name = ""
    cores: Number = 0  #: that this process may run on; 0 if not told
    signing_key: KeyId = ""  #: which key it signs with; empty for none


class SchedulerState(StrEnum):
    """The present activity of a scheduler."""

    IDLE = "idle"  #: no run is queued
    DRIVING = "driving"
    WAITING = "waiting"  #: for a data set, Redis, workers or the database


class SchedulerRecord(_Record):
    """A scheduler's process."""

    runs: tuple[Name, ...] = ()  #: in hand
    database: Name = ""  #: the id of the one that it serves; empty until that is reached
    address: Name = ""  #: of that database, without its password
