"""The training loop. Read this file first: every line of the loop is a room of the house."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.average import mean_gradient
from tapeworks.model.config import RunConfig
from tapeworks.model.datasets.source import ImageData
from tapeworks.model.images import image_set
from tapeworks.model.parameters import (
    all_finite,
    assign,
    digest,
    from_bytes,
    to_bytes,
)
from tapeworks.model.update import direction, learning_rate, read_state, state_bytes
from tapeworks.scheduler.cadence import next_follows
from tapeworks.scheduler.committing import Committing
from tapeworks.scheduler.dispatch.contract import (
    Dispatcher,
    RunWatcher,
    Watcher,
    Work,
)
from tapeworks.scheduler.errors import diverged
from tapeworks.scheduler.events import EvaluationStored, IterationComputed
from tapeworks.scheduler.outcomes import (
    Computed,
    accuracy_of,
    confusion_of,
    loss_of,
)
from tapeworks.storage.history import History
from tapeworks.storage.records import (
    CheckpointRecord,
    Claim,
    EvaluationRecord,
    IterationRecord,
)
from tapeworks.wire.messages import Wanted


def train(
    config: RunConfig,
    claim: Claim,
    history: History,
    dispatcher: Dispatcher,
    data: ImageData,
    watcher: RunWatcher,
) -> Iterator[int]:
    """Drive a claimed run from its last committed iteration to its end.

    The end is its last iteration, or the one after which the watcher stops it. Yields the number
    of committed iterations after every commit. If the run is left because of an error, what was
    computed before is committed first.
    """
    checkpoint = history.checkpoint(claim.run_id)
    parameters, state = checkpoint.parameters, checkpoint.optimizer_state
    ask = partial(iteration_work, config, claim.run_id, claim.term, data=data)
    committing, work = Committing(config, claim, history, watcher.events), None

    for iteration in range(checkpoint.completed_iterations, config.iterations):
        try:
            # Which images; then their gradients, the mean, the next parameters, as told below.
            if work is None:
                lap, work = Lap(), ask(iteration, parameters)
            computed = compute_iteration(config, work, state, dispatcher, watcher)
            parameters, state = computed.parameters, computed.optimizer_state
            watcher.events(IterationComputed(claim.run_id, iteration))

            # Workers compute the next iteration while this one is recorded and committed.
            ended, lap, work = lap.ended(), Lap(), None
            try:
                if next_follows(config, iteration + 1) and watcher.goes_on(iteration + 1):
                    work = ask(iteration + 1, parameters)
                    dispatcher.start(work, watcher)
            finally:
                record = _record(claim, iteration, computed, dispatcher, ended)
                committing.add(record, computed, dispatcher.fingerprint)
        except Exception:
            if committing.waiting:
                committing.commit()
            raise

        # Loss, parameters and ledger, in one transaction; short iterations wait for each other.
        if work is None or committing.is_due:
            run = committing.commit()
            yield iteration + 1
            watcher.heed(run)
            if watcher.is_stopped(iteration + 1):
                return


class Lap:
    """The time of one iteration, from now on."""

    def __init__(self) -> None:
        self.started_at, self._began = datetime.now(UTC), time.perf_counter()
        self.seconds = 0.0

    def ended(self) -> Lap:
        """Measure it until now."""
        self.seconds = time.perf_counter() - self._began
        return self


def _record(
    claim: Claim, iteration: int, computed: Computed, dispatcher: Dispatcher, lap: Lap
) -> IterationRecord:
    return IterationRecord(
        run_id=claim.run_id,
        iteration=iteration,
        images=computed.images,
        loss=computed.loss,
        accuracy=computed.accuracy,
        gradient_norm=computed.gradient_norm,
        parameters_digest=computed.parameters_digest,
        term=claim.term,
        shards=dispatcher.shards,
        attempts=dispatcher.attempts,
        workers=computed.workers,
        started_at=lap.started_at,
        seconds=lap.seconds,
    )


def iteration_work(
    config: RunConfig,
    run_id: str,
    term: int,
    iteration: int,
    parameters: bytes,
    data: ImageData,
) -> Work:
    """Return the work that one iteration asks of a dispatcher: its images, in microbatches."""
    images, wanted = image_set(config, iteration), Wanted(config.gradient_form)
    return _work(config, run_id, term, iteration, parameters, data, images, wanted)


def compute_iteration(
    config: RunConfig,
    work: Work,
    optimizer_state: bytes | None,
    dispatcher: Dispatcher,
    watcher: Watcher,
) -> Computed:
    """One iteration, from its images to the parameters after it; a replay computes it here too."""
    remembered = read_state(config, optimizer_state)

    # Every image's gradient, computed wherever the dispatcher finds workers, and their sum.
    result = dispatcher.compute(work, watcher)

    # The mean of the whole image set; the way that the optimizer makes of it; assign.
    gradient = mean_gradient(result.sums, len(work.images))
    towards, state = direction(config, remembered, gradient)
    rate = learning_rate(config, work.iteration)
    parameters = assign(from_bytes(work.parameters), towards, rate)
    if not all_finite(parameters | state):
        raise diverged(work.iteration)

    payload = to_bytes(parameters)
    return Computed(
        work=work,
        outcomes=result.outcomes,
        gradient=gradient,
        parameters=payload,
        parameters_digest=digest(payload),
        optimizer_state=state_bytes(state),
    )


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
    evaluation = measure(config, claim.term, checkpoint, dispatcher, held_out, watcher)
    history.record_evaluation(claim, evaluation)
    watcher.events(EvaluationStored(claim.run_id, evaluation))
    return evaluation


def measure(
    config: RunConfig,
    term: int,
    checkpoint: CheckpointRecord,
    dispatcher: Dispatcher,
    held_out: ImageData,
    watcher: Watcher,
) -> EvaluationRecord:
    """Evaluate a run's parameters on images, which workers compute as they do an iteration's."""
    done, images = checkpoint.completed_iterations, np.arange(len(held_out.labels))
    source = checkpoint.run_id, term, done, checkpoint.parameters, held_out
    work = _work(config, *source, images, Wanted.NOTHING)
    outcomes = dispatcher.compute(work, watcher).outcomes
    return EvaluationRecord(
        run_id=checkpoint.run_id,
        completed_iterations=done,
        images=len(images),
        loss=loss_of(outcomes),
        accuracy=accuracy_of(outcomes, held_out),
        confusion=confusion_of(outcomes, held_out, config.network.class_count),
    )


def _work(
    config: RunConfig,
    run_id: str,
    term: int,
    iteration: int,
    parameters: bytes,
    data: ImageData,
    images: NDArray[np.int64],
    wanted: Wanted,
) -> Work:
    return Work(
        run_id=run_id,
        term=term,
        iteration=iteration,
        network=config.network,
        wanted=wanted,
        parameters=parameters,
        parameters_digest=digest(parameters),
        data=data,
        images=images,
        shards=config.shards,
        audit=config.audit,
    )
