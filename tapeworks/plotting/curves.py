"""Curves over the iterations, a line for each run, with its evaluations as points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from tapeworks.comparison.texts import picture_labels
from tapeworks.errors import UsageError
from tapeworks.plotting.arranging import Arrangement, arrange, list_colours
from tapeworks.storage.history import History
from tapeworks.storage.records import EvaluationRecord, IterationRecord, RunRecord

#: How many times the smallest value the largest one is before the axis is logarithmic.
LOGARITHMIC_FROM = 100.0


class Measure(StrEnum):
    """The measures of an iteration."""

    LOSS = "loss"
    ACCURACY = "accuracy"
    GRADIENT_NORM = "gradient norm"


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One run in the picture, or the mean of several."""

    run_id: str
    label: str
    iterations: tuple[int, ...]
    values: tuple[float, ...]
    evaluated_after: tuple[int, ...]  #: iterations behind the parameters, the x of a point
    evaluated: tuple[float, ...]  #: the same measure on held-out images
    smoothed: tuple[float, ...] = ()  #: the values as they are drawn, if they are smoothed
    colour: str | None = None  #: the setting that it is coloured by, with its value
    runs: tuple[str, ...] = ()  #: ids, if it is the mean of several runs; `run_id` is the first
    low: tuple[float, ...] = ()  #: the lowest of those at each iteration, and the highest
    high: tuple[float, ...] = ()
    evaluated_low: tuple[float, ...] = ()
    evaluated_high: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Curves:
    """One or several runs' lines of one measure."""

    measure: Measure
    lines: tuple[Line, ...]
    images: int | None  #: that a loss is the sum over; 1: it is that of a mean image
    is_logarithmic: bool
    colours: tuple[str, ...] = ()  #: that lines are coloured by, in their order
    mean_over: str | None = None  #: the setting in which the runs of a line differ
    smooth: int | None = None  #: with how many iterations on either side each is averaged

    def values(self) -> dict[str, Any]:
        """Return what is drawn, as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """The iterations of a run that its line goes through, or some of them."""

    run_id: str
    label: str
    records: Sequence[IterationRecord]
    evaluations: Sequence[EvaluationRecord]


def curves(
    history: History,
    runs: Sequence[RunRecord],
    measure: Measure,
    arrangement: Arrangement | None = None,
) -> Curves:
    """The measure in every iteration of these runs, and on held-out images where it is known.

    Losses are sums over an iteration's images, those of held-out images scaled to as many; where
    iterations differ in their number of images, losses are means. A run that goes on from another
    one's checkpoint has that one's history before its own. Runs without any accuracy have no line
    of it. Raises `UsageError` if no run has a line, or for an arrangement of settings that they
    do not have.
    """
    wanted = (arrangement or Arrangement()).resolve(runs)
    measured = [
        Measured(
            run_id=run.id,
            label=label,
            records=history.curve(run),
            evaluations=read_evaluations(history, run),
        )
        for run, label in zip(runs, picture_labels(runs), strict=True)
    ]
    made = make_curves(measured, measure)
    if not made.lines:
        raise UsageError(
            f"No network of these runs predicts anything, so that there is no {measure} to draw; "
            f"draw another kind. Received: {', '.join(run.id for run in runs)}."
        )
    lines = arrange(made.lines, runs, wanted)
    return replace(
        made,
        lines=lines,
        is_logarithmic=is_logarithmic(measure, lines),
        colours=list_colours(runs, wanted.color_by) if wanted.color_by else (),
        mean_over=wanted.mean_over,
        smooth=wanted.smooth,
    )


def make_curves(measured: Sequence[Measured], measure: Measure) -> Curves:
    """The lines of the runs that have the measure."""
    images = None
    if measure is Measure.LOSS:
        images = _common_images(one.records for one in measured)
    drawn = [_line(one, measure, images) for one in measured]
    lines = tuple(line for line in drawn if line.values or line.evaluated)
    return Curves(
        measure=measure, lines=lines, images=images, is_logarithmic=is_logarithmic(measure, lines)
    )


def _line(measured: Measured, measure: Measure, images: int | None) -> Line:
    tests = () if measure is Measure.GRADIENT_NORM else measured.evaluations
    trained = {one.iteration: _value(one, measure, images) for one in measured.records}
    tested = {one.completed_iterations: _value(one, measure, images) for one in tests}
    values, evaluated = _known(trained), _known(tested)
    return Line(
        run_id=measured.run_id,
        label=measured.label,
        iterations=tuple(values),
        values=tuple(values.values()),
        evaluated_after=tuple(evaluated),
        evaluated=tuple(evaluated.values()),
    )


def _known(values: Mapping[int, float | None]) -> dict[int, float]:
    return {place: value for place, value in values.items() if value is not None}


def read_evaluations(history: History, run: RunRecord) -> Sequence[EvaluationRecord]:
    """Return the run's evaluations after those of the runs that it goes on from."""
    inherited = [evaluation for _, evaluation in history.list_inherited_evaluations(run)]
    by_place = {one.completed_iterations: one for one in inherited + history.evaluations(run.id)}
    return list(by_place.values())


def _common_images(records: Iterable[Sequence[IterationRecord]]) -> int:
    numbers = {record.images for one in records for record in one}
    return numbers.pop() if len(numbers) == 1 else 1


def _value(
    record: IterationRecord | EvaluationRecord, measure: Measure, images: int | None
) -> float | None:
    if measure is Measure.ACCURACY:
        return record.accuracy
    if isinstance(record, IterationRecord) and measure is Measure.GRADIENT_NORM:
        return record.gradient_norm
    if images is None or record.images == images:  # then the stored number, to the last digit
        return record.loss
    return record.loss / record.images * images


def is_logarithmic(measure: Measure, lines: Sequence[Line]) -> bool:
    """Check that the values are so far apart that they need a logarithmic axis."""
    if measure is Measure.ACCURACY:
        return False
    values = [value for line in lines for value in (*line.values, *line.evaluated)]
    smallest = min(values, default=0.0)
    return smallest > 0 and max(values) / smallest >= LOGARITHMIC_FROM
