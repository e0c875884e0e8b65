"""The frozen values that go into and come out of the history. All times are aware UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class RunState(StrEnum):
    """Where a run stands."""

    #: Waits for a scheduler to claim it.
    QUEUED = "queued"
    #: Is driven by the owner of its lease.
    RUNNING = "running"
    #: Waits for a person to resume it; no scheduler takes it by itself.
    PAUSED = "paused"
    #: Has committed all its iterations.
    COMPLETED = "completed"
    #: Was ended by an error, which its reason tells.
    FAILED = "failed"
    #: Was ended by a person.
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        return self in {RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One training from its configuration to its end."""

    #: Sorts by time and is unique.
    id: str
    #: What people call it; several runs may share it.
    name: str | None
    #: Where it stands.
    state: RunState
    #: Why it stands there, if there is more to say.
    reason: str | None
    #: Everything that decides the result, as submitted.
    configuration: dict[str, Any]
    #: Iterations wanted.
    iterations: int
    #: Iterations committed.
    completed_iterations: int
    #: Submission.
    created_at: datetime
    #: First claim.
    started_at: datetime | None
    #: Completion, failure or cancellation.
    ended_at: datetime | None
    #: The process that drives it, as `current_owner` writes it.
    owner: str | None
    #: Claims so far; fences off the owners of older ones.
    epoch: int
    #: Until when the owner may drive without renewing.
    lease_until: datetime | None
    #: What kind of workers computed its bits: the first to serve it.
    fingerprint: str | None
    #: SHA-256 of the images it trains on.
    images_digest: str | None
    #: SHA-256 of the newest parameters.
    parameters_digest: str
    #: Loss of the first iteration.
    first_loss: float | None
    #: Loss of the newest iteration.
    last_loss: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to drive a run, until the lease ends or another claim follows."""

    #: The run.
    run_id: str
    #: Who may drive it.
    owner: str
    #: The number of this claim.
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IterationRecord:
    """One parameter update and how it came about."""

    #: The run.
    run_id: str
    #: Counted from 0.
    iteration: int
    #: Images in the image set.
    images: int
    #: Sum over the images.
    loss: float
    #: Part of the images that the parameters before the update classified rightly.
    accuracy: float
    #: Euclidean norm of the mean gradient.
    gradient_norm: float
    #: SHA-256 of the parameters after the update.
    parameters_digest: str
    #: The claim under which it was computed.
    epoch: int
    #: Shards it was cut into.
    shards: int
    #: Sendings that those shards needed.
    attempts: int
    #: Workers whose answers were counted.
    workers: int
    #: When its computation began.
    started_at: datetime
    #: How long it took.
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRecord:
    """One microbatch of one iteration, and the one answer that was counted for it."""

    #: The run.
    run_id: str
    #: Counted from 0.
    iteration: int
    #: Counted from 0 within the iteration.
    microbatch: int
    #: Position of its first image in the image set.
    first_image: int
    #: Its images, without padding.
    image_count: int
    #: The shard that it travelled in.
    shard: int
    #: The sending whose answer was counted.
    attempt: int
    #: The claim under which it was sent.
    epoch: int
    #: The worker that answered.
    worker: str
    #: How long the worker computed.
    seconds: float
    #: When the answer arrived.
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRecord:
    """A run's parameters after some iterations."""

    #: The run.
    run_id: str
    #: 0: the initial parameters; k + 1: those after iteration k.
    completed_iterations: int
    #: SHA-256 of the bytes.
    digest: str
    #: safetensors.
    parameters: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRecord:
    """How well a run's parameters do on held-out images."""

    #: The run.
    run_id: str
    #: Iterations behind the parameters.
    completed_iterations: int
    #: Held-out images.
    images: int
    #: Sum over the images.
    loss: float
    #: Part of the images classified rightly.
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """Something that happened to a run, for people to read."""

    #: The run.
    run_id: str
    #: When.
    at: datetime
    #: One or two words to filter by.
    kind: str
    #: One sentence.
    message: str
