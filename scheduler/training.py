"""The training loop. Read this file first: every line of the loop leads to a room."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tapeworks.model.config import RunConfig
from tapeworks.model.datasets.source import ImageData
from tapeworks.model.parameters import all_finite, assign, digest, from_bytes, to_bytes
from tapeworks.model.reduction import mean_gradient
from tapeworks.model.update import direction, learning_rate, read_state, state_bytes
from tapeworks.scheduler.cadence import next_follows
from tapeworks.scheduler.committing import Committing
from tapeworks.scheduler.dispatch.contract import Dispatcher, RunWatcher, Watcher, Work
from tapeworks.scheduler.errors import divergence_error
from tapeworks.scheduler.events import EvaluationStored, IterationComputed
from tapeworks.scheduler.outcomes import Computed, Lap, accuracy_of, confusion_of, loss_of
from tapeworks.storage.history import History
from tapeworks.storage.records import CheckpointRecord, Claim, EvaluationRecord


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
    ask = partial(Work.training, config, claim.run_id, claim.term, data)
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
            ended, lap, work = lap.end(), Lap(), None
            try:
                if next_follows(config, iteration + 1) and watcher.goes_on(iteration + 1):
                    work = ask(iteration + 1, parameters)
                    dispatcher.start(work, watcher)
            finally:
                committing.add(computed, dispatcher, ended)
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
        raise divergence_error(work.iteration)

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
    work = Work.evaluation(config, term, checkpoint, held_out)
    outcomes = dispatcher.compute(work, watcher).outcomes
    return EvaluationRecord(
        run_id=checkpoint.run_id,
        completed_iterations=checkpoint.completed_iterations,
        images=len(work.images),
        loss=loss_of(outcomes),
        accuracy=accuracy_of(outcomes, held_out),
        confusion=confusion_of(outcomes, held_out, config.spec.classes_predicted),
    )
