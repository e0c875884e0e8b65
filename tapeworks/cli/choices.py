"""Choices on the command line: the parameters of a run, and times."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import click

from tapeworks.cli.option_kinds import Whole
from tapeworks.errors import InvalidValue, UsageError
from tapeworks.storage.history import History
from tapeworks.storage.records import CheckpointRecord, Metric, RunRecord, best, iteration_count

if TYPE_CHECKING:
    from tapeworks.model.networks.kinds import AnyNetwork
    from tapeworks.model.parameters import Arrays

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

#: What a moment may be given as, for people.
EXPECTED = "so long ago (45m, 12h, 30d, 2w) or a date such as 2026-11-01"


class Moment(click.ParamType[datetime]):
    """30d, 12h, 90m: so long before now; or a date or time in ISO 8601, by default local."""

    name = "moment"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        return "30d|12h|DATE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            return read_moment(str(param.name if param else self.name), value)
        except InvalidValue as error:
            self.fail(str(error), param, ctx)


def read_moment(name: str, value: Any) -> datetime:
    """Return the time in UTC that is given as text, date, time or so long ago.

    Without a time zone it is local. Raises `InvalidValue`.
    """
    try:
        moment = _moment(_without_library(value))
    except (ValueError, TypeError, OverflowError) as error:  # no such day, NaT, before year 1
        raise InvalidValue(EXPECTED, name, value) from error
    if moment is None:
        raise InvalidValue(EXPECTED, name, value)
    return moment


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):  # pandas' own kind too, made Python's, whose nanoseconds end
        own = datetime.combine(date(value.year, value.month, value.day), _clock(value))
        return own.astimezone(UTC)
    if isinstance(value, date):
        return datetime.combine(value, time()).astimezone(UTC)
    if isinstance(value, timedelta):
        return datetime.now(UTC) - timedelta(seconds=value.total_seconds())
    if not isinstance(value, str):
        return None
    if length := re.fullmatch(r"(\d{1,9})([smhdw])", value):
        return datetime.now(UTC) - timedelta(**{UNITS[length[2]]: int(length[1])})
    return datetime.fromisoformat(value).astimezone(UTC)


def _clock(value: datetime) -> time:
    parts = (value.hour, value.minute, value.second, value.microsecond)
    return time(*parts, tzinfo=value.tzinfo, fold=value.fold)


def _without_library(value: Any) -> Any:
    """A time of NumPy's as Python's, to the microsecond; anything else as it is."""
    kind = type(value).__name__
    if kind in {"datetime64", "timedelta64"} and hasattr(value, "astype"):
        return value.astype(f"{kind}[us]").tolist()
    return value


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


#: No choice.
NEWEST = Choice(after=None, metric=None)


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


def parameters_of(checkpoint: CheckpointRecord, network: AnyNetwork) -> Arrays:
    """A checkpoint's arrays. Raises `ParametersError` if they are not what the network trains."""
    from tapeworks.model.parameters import from_bytes, validate_parameters

    source = f"Run {checkpoint.run_id}, after {iteration_count(checkpoint.completed_iterations)}"
    return validate_parameters(from_bytes(checkpoint.parameters), network, source)


def _best(history: History, run: RunRecord, metric: Metric) -> int:
    evaluations = history.evaluations(run.id)
    found = best(evaluations, metric)
    if found is None and evaluations:
        raise UsageError(
            f"Run {run.id} has no accuracy: its network predicts nothing. Choose with --best loss, "
            f"or with --after. Received: --best {metric}."
        )
    if found is None:
        raise UsageError(
            f"Run {run.id} was never evaluated on held-out images, so that none of its parameters "
            "are known to be best. Train with --test-images, or choose with --after."
        )
    return found.completed_iterations
