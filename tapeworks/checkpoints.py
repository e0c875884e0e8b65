"""The parameters of a run that a command works with: those of `--after` or of `--best`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from tapeworks.errors import UsageError
from tapeworks.model.config import NetworkConfig
from tapeworks.option_kinds import Whole
from tapeworks.storage.history import History
from tapeworks.storage.ranking import Metric, best
from tapeworks.storage.records import CheckpointRecord, RunRecord

if TYPE_CHECKING:
    from tapeworks.model.parameters import Arrays


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The user's choice; none means the newest parameters."""

    after: int | None  #: completed iterations
    metric: Metric | None  #: of the best evaluation

    @property
    def is_made(self) -> bool:
        """True if anything was asked for."""
        return self.after is not None or self.metric is not None

    def checkpoint(self, history: History, run: RunRecord) -> CheckpointRecord:
        """The parameters.

        Raises storage's `CheckpointNotFound`, and `UsageError` if there is no best evaluation.
        """
        after = self.after if self.metric is None else _best(history, run, self.metric)
        return history.checkpoint(run.id, after)


def with_choice(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options `--after` and `--best`; it gets them as its argument `choice`."""

    @functools.wraps(command)
    def wrapper(after: int | None, best: str | None, **arguments: Any) -> int:
        if after is not None and best is not None:
            raise UsageError("--after and --best exclude each other; choose one.")
        choice = Choice(after=after, metric=Metric(best) if best else None)
        return command(choice=choice, **arguments)

    by_iteration = click.option(
        "--after",
        type=Whole(0),
        help="parameters after so many iterations  [default: the newest]",
    )
    by_metric = click.option(
        "--best",
        type=click.Choice([metric.value for metric in Metric]),
        help="parameters with the lowest loss or the highest accuracy on held-out images",
    )
    return by_iteration(by_metric(wrapper))


def parameters_of(checkpoint: CheckpointRecord, network: NetworkConfig) -> Arrays:
    """A checkpoint's arrays. Raises `ParametersError` if they are not what the network trains."""
    from tapeworks.model.parameters import checked, from_bytes

    source = f"Run {checkpoint.run_id}, after {checkpoint.completed_iterations} iterations"
    return checked(from_bytes(checkpoint.parameters), network, source)


def _best(history: History, run: RunRecord, metric: Metric) -> int:
    found = best(history.evaluations(run.id), metric)
    if found is None:
        raise UsageError(
            f"Run {run.id} was never evaluated on held-out images, so that none of its parameters "
            "are known to be best. Train with --test-images, or choose with --after."
        )
    return found.completed_iterations
