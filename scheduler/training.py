"""The training loop. Read this file first: every line of the loop is a room of the house."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from model.average import global_norm, mean_gradient
from model.config import RunConfig
from model.datasets.data import ImageData
from model.images import cut, image_set
from model.parameters import all_finite, assign, digest, from_bytes, to_bytes
from scheduler.errors import diverged
from scheduler.outcomes import accuracy_of, gather, image_values, ledger_of, loss_of
from scheduler.work import Dispatcher, Watcher, Work
from storage.history import History
from storage.records import Claim, EvaluationRecord, IterationRecord
from workers.crash_points import CrashPoint, crash_point
from workers.messages import Wanted


def train(
    config: RunConfig,
    claim: Claim,
    history: History,
    dispatcher: Dispatcher,
    data: ImageData,
    watcher: Watcher,
) -> Iterator[IterationRecord]:
    """Drive a claimed run from its last committed iteration to its end, one yield for each."""
    checkpoint = history.checkpoint(claim.run_id)
    parameters = from_bytes(checkpoint.parameters)

    for iteration in range(checkpoint.completed_iterations, config.iterations):
        began, started_at = time.perf_counter(), datetime.now(UTC)

        # Which images; then every image's gradient, computed wherever the dispatcher finds workers.
        images, wanted = image_set(config, iteration), Wanted(config.gradients)
        work = _work(config, claim, iteration, to_bytes(parameters), data, images, wanted)
        outcomes = gather(dispatcher, work, watcher)

        # Average in image order, assign.
        gradient = mean_gradient((outcome.sums for outcome in outcomes), len(images))
        parameters = assign(parameters, gradient, config.learning_rate)
        if not all_finite(parameters):
            raise diverged(iteration)
        crash_point(CrashPoint.UPDATE_COMPUTED)

        # Loss, parameters and ledger, in one transaction.
        payload = to_bytes(parameters)
        record = IterationRecord(
            run_id=claim.run_id,
            iteration=iteration,
            images=len(images),
            loss=loss_of(outcomes),
            accuracy=accuracy_of(outcomes, data),
            gradient_norm=global_norm(gradient),
            parameters_digest=digest(payload),
            epoch=claim.epoch,
            shards=dispatcher.shards,
            attempts=dispatcher.attempts,
            workers=len({outcome.worker for outcome in outcomes}),
            started_at=started_at,
            seconds=time.perf_counter() - began,
        )
        history.commit_iteration(
            claim,
            record,
            ledger=ledger_of(outcomes, claim, iteration),
            image_values=image_values(outcomes),
            parameters=payload,
            fingerprint=dispatcher.fingerprint,
            keep_previous_checkpoint=iteration % config.checkpoint_every == 0,
        )
        yield record


def evaluate(
    config: RunConfig,
    claim: Claim,
    history: History,
    dispatcher: Dispatcher,
    held_out: ImageData,
    watcher: Watcher,
) -> EvaluationRecord:
    """Measure the newest parameters on images that no iteration has seen, and store the result."""
    checkpoint = history.checkpoint(claim.run_id)
    done, images = checkpoint.completed_iterations, range(len(held_out.labels))
    work = _work(config, claim, done, checkpoint.parameters, held_out, images, Wanted.NOTHING)
    outcomes = gather(dispatcher, work, watcher)
    evaluation = EvaluationRecord(
        run_id=claim.run_id,
        completed_iterations=done,
        images=len(images),
        loss=loss_of(outcomes),
        accuracy=accuracy_of(outcomes, held_out),
    )
    crash_point(CrashPoint.EVALUATION_COMPUTED)
    history.record_evaluation(claim, evaluation)
    return evaluation


def _work(
    config: RunConfig,
    claim: Claim,
    iteration: int,
    parameters: bytes,
    data: ImageData,
    images: Sequence[int],
    wanted: Wanted,
) -> Work:
    return Work(
        run_id=claim.run_id,
        epoch=claim.epoch,
        iteration=iteration,
        network=config.network,
        wanted=wanted,
        parameters=parameters,
        parameters_digest=digest(parameters),
        data=data,
        microbatches=cut(images, config.network.microbatch_size),
        shards=config.shards,
        audit=config.audit,
    )
