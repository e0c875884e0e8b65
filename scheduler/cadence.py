"""Iterations after which a run is evaluated, its parameters kept, its images recorded; pure.

They and its early end are the same for every scheduler, however often the run was taken over.
"""

from __future__ import annotations

from collections.abc import Sequence

from tapeworks.model.config import RunConfig
from tapeworks.storage.records import EvaluationRecord, Metric, best


def is_evaluated(config: RunConfig, completed_iterations: int) -> bool:
    """Report whether the parameters after so many iterations are measured on held-out images."""
    if not config.test_images or completed_iterations == 0:
        return False
    return completed_iterations == config.iterations or _is_nth(config, completed_iterations)


def next_follows(config: RunConfig, completed_iterations: int) -> bool:
    """Report whether after so many iterations another one comes, with no evaluation before it."""
    return completed_iterations < config.iterations and not is_evaluated(
        config, completed_iterations
    )


def is_kept(config: RunConfig, completed_iterations: int) -> bool:
    """Report whether the parameters after so many iterations stay when newer ones are there.

    Evaluated ones do: one of them will be the best. The initial ones always do.
    """
    nth = completed_iterations % config.checkpoint_every == 0
    return nth or _is_nth(config, completed_iterations)


def is_recorded(config: RunConfig, iteration: int) -> bool:
    """Report whether an iteration's values of each image and times of each answer are kept.

    Iterations count from 0. The last one's are, and those of one that an evaluation follows. A run
    that goes on from another one's parameters keeps those of its own first iteration as well.
    """
    done = iteration + 1
    nth = iteration == 0 or done % config.recording_interval == 0
    return nth or done == config.iterations or is_evaluated(config, done)


def reason_to_stop(config: RunConfig, evaluations: Sequence[EvaluationRecord]) -> str | None:
    """The sentence that ends a run with these evaluations, in order, early; None if it goes on."""
    lowest = best(evaluations, Metric.LOSS)
    if not config.patience or lowest is None:
        return None
    newest = evaluations[-1].completed_iterations
    waited = sum(each.completed_iterations > lowest.completed_iterations for each in evaluations)
    if waited < config.patience or newest == config.iterations:
        return None
    return (
        "stopped early: the held-out loss has not fallen since iteration "
        f"{lowest.completed_iterations}"
    )


def _is_nth(config: RunConfig, completed_iterations: int) -> bool:
    return bool(config.evaluate_every) and completed_iterations % config.evaluate_every == 0
