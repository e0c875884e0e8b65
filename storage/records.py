"""The frozen values that go into and come out of the history. All times are aware UTC."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

#: Priorities that a run may have: as many as anybody needs, within a database's whole numbers.
LOWEST_PRIORITY, HIGHEST_PRIORITY = -1_000_000, 1_000_000

#: Losses from the one on or below the other are written with a power of ten.
LARGE_LOSS, SMALL_LOSS = 1e9, 1e-3


class RunStatus(StrEnum):
    """The states of a run."""

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
        return self in {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED}


class Request(StrEnum):
    """A person's request for a run that is being driven; its owner carries it out."""

    #: Stop after the next commit, to be resumed later.
    PAUSE = "pause"
    #: End at once.
    CANCEL = "cancel"

    @property
    def status(self) -> RunStatus:
        """The run's status once it is done."""
        return RunStatus.PAUSED if self is Request.PAUSE else RunStatus.CANCELLED


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One training from its configuration to its end."""

    #: Sorts by time and is unique.
    id: str
    #: What people call it; several runs may share it.
    name: str | None
    #: Where it stands.
    status: RunStatus
    #: Why it stands there, if there is more to say.
    reason: str | None
    #: What its owner has been asked to do and has not done yet.
    request: Request | None
    #: The words for the history once that is done.
    request_reason: str | None
    #: Runs of a higher one are taken first.
    priority: int
    #: What its submitter wants to remember.
    note: str | None
    #: The user who submitted it, as the host told; no proof.
    submitter: str | None
    submitter_host: str | None
    #: The run that this one takes its configuration from, and after how many of that run's
    #: iterations it begins; its own are counted on from there.
    parent_id: str | None
    parent_iterations: int | None
    #: Everything that decides the result, as submitted.
    configuration: dict[str, Any]
    #: SHA-256 of the source text of the user's network that it trains; None: the built-in one.
    network_digest: str | None
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
    term: int
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
    final_loss: float | None
    #: Of the newest evaluation on held-out images.
    test_loss: float | None
    test_accuracy: float | None
    #: When checkpoints were removed to save space, if ever.
    pruned_at: datetime | None

    @property
    def first_iteration(self) -> int:
        """The number of the iteration that its initial parameters go into."""
        return self.parent_iterations or 0

    @property
    def label(self) -> str:
        """Its id, and its name if it has one."""
        return run_label(self.id, self.name)

    @property
    def last_loss(self) -> str:
        """The loss of its newest iteration for people, as `marked_loss` writes it."""
        return marked_loss(self.final_loss, self.configuration, self.completed_iterations - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to drive a run, until the lease ends or another claim follows."""

    #: The run.
    run_id: str
    #: Who may drive it.
    owner: str
    #: The number of this claim.
    term: int
    #: The run's name, for those who read of it.
    name: str | None = field(default=None, compare=False)

    @property
    def label(self) -> str:
        """The run's id, and its name if it has one."""
        return run_label(self.run_id, self.name)


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
    #: Part of the images that the parameters before the update classified rightly; None if the
    #: network predicts nothing.
    accuracy: float | None
    #: Euclidean norm of the mean gradient.
    gradient_norm: float
    #: SHA-256 of the parameters after the update.
    parameters_digest: str
    #: The claim under which it was computed.
    term: int
    #: Shards it was cut into.
    shards: int
    #: Sendings that those shards needed.
    attempts: int
    #: Workers whose answers were counted.
    workers: int
    #: When its computation began.
    started_at: datetime
    #: Until the parameters after it were known; the commit of the one before may fall into it.
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRecord:
    """Neighbours in an iteration's image set, and the one answer that was counted for them."""

    #: The run.
    run_id: str
    #: Counted from 0.
    iteration: int
    #: Position of the first image in the image set.
    first_image: int
    #: How many images: those of whole microbatches, without padding.
    image_count: int
    #: The shard that they travelled in.
    shard: int
    #: The sending whose answer was counted.
    attempt: int
    #: The claim under which it was sent.
    term: int
    #: The worker that answered.
    worker: str
    #: How long the worker computed the whole shard; to the microsecond, as the next one. Both are
    #: None where the iteration is not recorded in full.
    seconds: float | None
    #: When the answer arrived.
    received_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageValues:
    """The values of each image of an iteration, in the order of the image set."""

    #: float32, little-endian.
    losses: bytes
    #: float32, little-endian; None where no image's own gradient was computed.
    gradient_norms: bytes | None
    #: The class with the highest logit, a byte each; None if the network predicts nothing.
    predictions: bytes | None
    #: The images' numbers in the run's data, int32, little-endian; None where they are the places.
    image_numbers: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSummary:
    """The work of one worker for a run."""

    #: The run.
    run_id: str
    #: The worker.
    name: str
    #: Images whose gradients were counted.
    images: int
    #: Answers that were counted, in whole or in part.
    answers: int
    #: How long it computed those answers.
    seconds: float
    #: When the first one arrived.
    first_at: datetime
    #: When the latest one arrived.
    last_at: datetime


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
    #: What the optimizer carries to the next iteration, as safetensors; None if nothing.
    optimizer_state: bytes | None = None
    #: SHA-256 of those bytes; None if there are none.
    state_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCheckpoint:
    """Stored parameters of a run, without their bytes."""

    #: 0: the initial parameters; k + 1: those after iteration k.
    completed_iterations: int
    #: SHA-256 of the bytes.
    digest: str
    #: How many bytes.
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRecord:
    """The loss and accuracy of a run's parameters on held-out images."""

    #: The run.
    run_id: str
    #: Iterations behind the parameters.
    completed_iterations: int
    #: Held-out images.
    images: int
    #: Sum over the images.
    loss: float
    #: Part of the images classified rightly; None if the network predicts nothing.
    accuracy: float | None
    #: How many images of each class (row) were taken for each class (column).
    confusion: list[list[int]] | None = None


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
    #: The worker that it is about, if it is about one.
    worker: str | None = None
    #: The user who did it, as the host told, if a person did.
    actor: str | None = None
    actor_host: str | None = None


class Metric(StrEnum):
    """The number by which evaluations are compared."""

    LOSS = "loss"  #: the lowest is best
    ACCURACY = "accuracy"  #: the highest is best

    def badness(self, evaluation: EvaluationRecord) -> float | None:
        """The number that is lowest for the best evaluation; None of one without the metric."""
        if self is Metric.LOSS:
            return evaluation.loss
        return None if evaluation.accuracy is None else -evaluation.accuracy


def best(evaluations: Iterable[EvaluationRecord], metric: Metric) -> EvaluationRecord | None:
    """The best of one run's evaluations, of equals the earliest; None if none has the metric."""
    ranked = [
        (badness, each.completed_iterations, each)
        for each in evaluations
        if (badness := metric.badness(each)) is not None
    ]
    return min(ranked, key=lambda found: found[:2])[2] if ranked else None


def run_label(run_id: str, name: str | None) -> str:
    """Return a run's id for people, with its name beside it."""
    return f"{run_id} ({name})" if name else run_id


def loss_text(loss: float | None) -> str:
    """Return a loss for people, one beyond four decimals as a power of ten; a dash for none."""
    if loss is None:
        return "-"
    if not math.isfinite(loss) or abs(loss) >= LARGE_LOSS:
        return f"{loss:.4e}"
    return f"{loss:.2e}" if 0 < abs(loss) < SMALL_LOSS else f"{loss:.4f}"


def sum_words(images: int) -> str:
    """Return what every loss of an iteration or an evaluation is."""
    return f"sum over {images:,} {'image' if images == 1 else 'images'}"


def short_set(settings: Mapping[str, Any], iteration: int) -> int | None:
    """Return how many images an iteration has; None if as many as the run's others, or unknown."""
    images, size = settings.get("images"), settings.get("images_per_iteration")
    if not (isinstance(images, int) and isinstance(size, int) and 0 < size <= images):
        return None
    sets = -(-images // size)
    is_last, left = iteration % sets == sets - 1, images - (sets - 1) * size
    return left if is_last and left < size else None


def marked_loss(loss: float | None, settings: Mapping[str, Any], iteration: int) -> str:
    """Return an iteration's loss for people, with its images if they are fewer than the others'."""
    few = None if loss is None else short_set(settings, iteration)
    return loss_text(loss) if few is None else f"{loss_text(loss)}, {sum_words(few)}"


def resume_words(run_id: str) -> str:
    """Return the command that drives a run on this machine, from where it stands."""
    return f"tapeworks train --resume {run_id}"


#: The reason of a run that a `train` has stored, up to its first claim.
STARTING = (
    "a train is starting it, and needs no resume; if that has ended, go on with: "
    f"{resume_words('RUN')}"
)


def abandoned_words(run: RunRecord) -> str:
    """Return the reason for which a run is queued whose process has died."""
    done = iteration_count(run.completed_iterations)
    return (
        f"its process ended unexpectedly after {done}. Go on with: {resume_words(run.id)}; "
        "a scheduler of this database does so by itself"
    )


def iteration_count(count: int) -> str:
    """Return so many iterations in words, one of them in the singular."""
    return "1 iteration" if count == 1 else f"{count} iterations"
