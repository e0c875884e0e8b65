"""What scheduler and workers say to each other; everything is checked as it is read."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import xxhash
from pydantic import BaseModel, ConfigDict, Field

from model.config import NetworkConfig

#: What a worker says of itself ends up in SQL and on terminals.
Text = Annotated[str, Field(max_length=4000, pattern=r"^[^\x00]*$")]
Name = Annotated[str, Field(max_length=400, pattern=r"^[^\x00]*$")]
Number = Annotated[int, Field(ge=0, lt=2**31)]
Fingerprint = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[0-9a-f]*$")]

#: Arrays that every answer holds, a row per image.
LOSSES, GRADIENT_NORMS, PREDICTIONS = "losses", "gradient_norms", "predictions"


def checksum(payload: bytes) -> str:
    """XXH3 in 128 bits: tells whether bytes arrived as they were sent, but no forgery.

    SHA-256 would take a quarter of the time that computing the gradients takes.
    """
    return xxhash.xxh3_128_hexdigest(payload)


class Wanted(StrEnum):
    """What a shard's answer holds beside losses, gradient norms and predictions."""

    PER_IMAGE = "per-image"  #: every image's gradient, float32
    SUMMED = "summed"  #: each microbatch's sum of gradients, float64
    NOTHING = "nothing"  #: nothing else: an evaluation


class Status(StrEnum):
    """How an attempt ended."""

    DONE = "done"  #: computed; the arrays are beside the header
    MISSING = "missing"  #: images or parameters are gone from Redis
    REFUSED = "refused"  #: this worker's fingerprint is not the run's
    LEFT = "left"  #: the message names this worker among those that it is not for
    FAILED = "failed"  #: the computation raised an error


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MicrobatchMessage(_Message):
    """A microbatch, by the numbers of its images in the run's data."""

    index: int
    images: tuple[int, ...]


class ShardMessage(_Message):
    """One attempt at one shard: all that a worker needs to know, but for the bytes in Redis."""

    attempt_id: str  #: unique over all runs, epochs, iterations, shards and attempts
    run_id: str
    epoch: int
    iteration: int
    shard: int
    attempt: int  #: counted from 1
    network: NetworkConfig
    wanted: Wanted
    parameters_digest: str
    chunk_images: int  #: images in a chunk
    chunks: dict[int, str]  #: digest of each chunk that holds images of this shard, by number
    microbatches: tuple[MicrobatchMessage, ...]
    fingerprint: Fingerprint | None  #: the only one that may answer; None accepts any
    not_for: tuple[str, ...] = ()  #: names of workers that must leave it to others


class AnswerHeader(_Message):
    """What a worker says of its attempt; the arrays stand beside it as safetensors bytes."""

    attempt_id: Name
    run_id: Name
    epoch: Number
    iteration: Number
    shard: Number
    attempt: Number
    parameters_digest: Name
    microbatches: tuple[Number, ...]  #: indices, in the order of the arrays' rows
    status: Status
    detail: Text = ""  #: the error, if it failed
    missing: tuple[Name, ...] = ()  #: digests that were not in Redis
    worker: Name
    fingerprint: Fingerprint
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]  #: the worker spent on it
    payload_checksum: str = ""  #: `checksum` of the arrays' bytes


class _Record(BaseModel):
    """What a process shows of itself, every second. Informs people, never correctness.

    Processes of other versions show less, or more, and are to be seen all the same: what is not
    told is empty, what is not known is left out.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Name
    host: Name
    pid: int
    since: str  #: ISO 8601, UTC
    state: str
    version: Name = ""  #: of Tapeworks
    python: Name = ""
    clock: Name = ""  #: this machine's time as it showed itself: ISO 8601, UTC


class WorkerRecord(_Record):
    """A worker; its state is starting, idle or busy."""

    shard_in_hand: str | None = None
    images: int = 0  #: computed since it started
    images_per_second: float = 0.0  #: while computing
    memory_mb: float = 0.0
    fingerprint: str | None = None
    tensorflow: Name = ""
    cores: int = 0  #: that this process may run on; 0 if not told


class SchedulerState(StrEnum):
    """What a scheduler is at."""

    IDLE = "idle"  #: no run is queued
    DRIVING = "driving"
    WAITING = "waiting"  #: for a data set, Redis, workers or the database


class SchedulerRecord(_Record):
    """A scheduler's process."""

    runs: tuple[Name, ...] = ()  #: in hand
