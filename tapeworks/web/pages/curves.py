"""Curves of one run or several over their iterations, in few points: as numbers and as a picture.

A run that trains has a curve that grows: the numbers are asked for again and again, and sent when
they have changed.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import QueryParams

from tapeworks.cli.given import read_whole
from tapeworks.comparison.texts import named_labels
from tapeworks.errors import InvalidValue, UsageError
from tapeworks.plotting.curves import (
    Curves,
    Line,
    Measure,
    Measured,
    make_curves,
    read_evaluations,
)
from tapeworks.plotting.kinds import picture
from tapeworks.storage.glances import LAST_ITERATION, sample_curve
from tapeworks.storage.history import History
from tapeworks.storage.records import EvaluationRecord, RunRecord, sum_words
from tapeworks.web.asked import asks
from tapeworks.web.site import Site
from tapeworks.workers.printable import visible

#: Why a held-out loss is another number here than in tables: it is of another number of images.
HELD_OUT_SCALED = "; held-out loss scaled to as many"

#: Points of a line, and the evaluations beside it.
MOST_POINTS = 500

#: Runs whose lines are told apart in one picture.
MOST_RUNS = 20


def make_router(site: Site) -> APIRouter:
    """Routes to the curves."""
    router, drawing = APIRouter(), threading.Lock()

    @router.get("/curves", dependencies=[asks("run", "from", "to")])
    def send_curves(request: Request) -> Response:
        def make_context() -> dict[str, Any]:
            measured = read_measured(site.history, request.query_params)
            made = [make_curves(measured, measure) for measure in Measure]
            return {"values": {"charts": [chart(one) for one in made if one.lines]}}

        return site.answer(request, "values.json", make_context, "application/json")

    @router.get("/curves.svg", dependencies=[asks("run", "from", "to", "measure")])
    def send_picture(request: Request) -> Response:
        measure = read_measure(request.query_params)
        made = make_curves(read_measured(site.history, request.query_params), measure)
        if not made.lines:
            raise UsageError(f"These runs have no {measure} to draw.")
        with drawing:  # one picture's style would be the other's
            return Response(picture(made, "svg"), media_type="image/svg+xml")

    return router


def read_measure(asked: QueryParams) -> Measure:
    """Return what is to be drawn. Raises `InvalidValue`."""
    wanted = asked.get("measure", Measure.LOSS)
    try:
        return Measure(wanted)
    except ValueError as error:
        raise InvalidValue(", ".join(Measure), "measure", wanted) from error


def find_runs(history: History, asked: QueryParams) -> list[RunRecord]:
    """Return the runs that the URL names, in its order, each once. Raises `UsageError`."""
    wanted = [name for name in asked.getlist("run") if name]
    if len(wanted) > MOST_RUNS:
        raise UsageError(f"Expected at most {MOST_RUNS} runs at once. Received: {len(wanted)}.")
    found = {run.id: run for run in map(history.find_run, wanted)}
    return list(found.values())


def read_range(asked: QueryParams) -> tuple[int, int]:
    """Return the first iteration that is shown, and the first one that is not any more."""
    begin = read_whole("from", asked.get("from") or 0)
    last = read_whole("to", asked.get("to") or LAST_ITERATION - 1, begin, LAST_ITERATION - 1)
    return begin, last + 1


def read_measured(history: History, asked: QueryParams) -> list[Measured]:
    """Return of each run some of its iterations, and as many evaluations."""
    runs, (begin, end) = find_runs(history, asked), read_range(asked)
    return [
        Measured(
            run_id=run.id,
            label=visible(label),
            records=sample_curve(history.database, run, MOST_POINTS, begin, end),
            evaluations=thin(
                [
                    one
                    for one in read_evaluations(history, run)
                    if begin <= one.completed_iterations <= end
                ]
            ),
        )
        for run, label in zip(runs, named_labels(runs), strict=True)
    ]


def thin(evaluations: Sequence[EvaluationRecord]) -> Sequence[EvaluationRecord]:
    """Return evenly chosen ones, the newest among them."""
    stride = -(-len(evaluations) // MOST_POINTS) or 1
    return evaluations[::-1][::stride][::-1]


def chart(curves: Curves) -> dict[str, Any]:
    """The curves as columns over common places, as they are drawn."""
    places = sorted(
        {place for line in curves.lines for place in (*line.iterations, *line.evaluated_after)}
    )
    return {
        "name": curves.measure.value,
        "title": title(curves),
        "logarithmic": curves.is_logarithmic,
        "places": places,
        "lines": [
            column for line in curves.lines for column in _columns(line, places, len(curves.lines))
        ],
    }


def title(curves: Curves) -> str:
    """The measure, with what a loss is the sum over, and of which images an accuracy is."""
    if curves.measure is Measure.ACCURACY and not any(line.evaluated for line in curves.lines):
        return "Training accuracy"
    if curves.images is None:
        return curves.measure.value.capitalize()
    if curves.images == 1:
        return "Loss per image"
    scaled = any(line.evaluated for line in curves.lines)
    return f"Loss, {sum_words(curves.images)}{HELD_OUT_SCALED if scaled else ''}"


def _columns(line: Line, places: Sequence[int], lines: int) -> list[dict[str, Any]]:
    trained = dict(zip(line.iterations, line.values, strict=True))
    tested = dict(zip(line.evaluated_after, line.evaluated, strict=True))
    mine = "training images" if lines == 1 else line.label
    other = "held-out images" if lines == 1 else f"{line.label}, held-out images"
    columns = [(mine, False, trained), (other, True, tested)]
    return [
        {
            "run": line.run_id,
            "label": label,
            "dots": dots,
            "values": [_number(values.get(place)) for place in places],
        }
        for label, dots, values in columns
        if values
    ]


def _number(value: float | None) -> float | None:
    """JSON knows no others than finite ones."""
    return value if value is not None and math.isfinite(value) else None
