"""The differences of runs, and proof that equal ones are equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.datastructures import QueryParams

from tapeworks.cli.given import read_whole
from tapeworks.comparison.runs import Contender, contender, pairs
from tapeworks.comparison.texts import bits_lines, comparison_lines, named_labels
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord
from tapeworks.web.asked import asks
from tapeworks.web.pages.curves import find_runs
from tapeworks.web.site import Site

#: Iterations of all compared runs up to which their bits are compared here.
MOST_ITERATIONS = 20_000


#: Iterations up to which what differs is compared again while people look at it.
MOST_LIVE = 1500


def make_router(site: Site) -> APIRouter:
    """Routes to the comparison."""
    router = APIRouter()

    @router.get("/compare", dependencies=[asks("run", "at")])
    def compare(request: Request) -> Response:
        asked = request.query_params
        return site.answer(request, "compare.html", lambda: compare_context(site.history, asked))

    return router


def compare_context(history: History, asked: QueryParams) -> dict[str, Any]:
    """The values of the page. Raises `RunNotFound` and `UsageError`."""
    runs = find_runs(history, asked)
    labels, at = named_labels(runs), [read_whole("at", one) for one in asked.getlist("at") if one]
    common = {
        "runs": list(zip(runs, labels, strict=True)),
        "at": at,
        "has_iterations": any(run.completed_iterations for run in runs),
        "curves": urlencode([("run", run.id) for run in runs]),
        "is_live": sum(run.completed_iterations for run in runs) <= MOST_LIVE,
    }
    if len(runs) < 2:
        return common | {"lines": {}, "bits": []}
    if sum(run.completed_iterations for run in runs) > MOST_ITERATIONS:
        return common | {"lines": {}, "bits": [too_many(runs)]}
    contenders = [contender(history, run) for run in runs]
    return common | {
        "lines": comparison_lines(contenders, at),
        "bits": compare_bits(history, contenders, labels),
    }


def too_many(runs: Sequence[RunRecord]) -> str:
    """The sentence for runs that take too long for a page."""
    return (
        f"These runs have more than {MOST_ITERATIONS:,} iterations; compare them with: "
        f"tapeworks compare {' '.join(run.id for run in runs)}"
    )


def compare_bits(
    history: History, contenders: Sequence[Contender], labels: Sequence[str]
) -> list[str]:
    """A sentence about each pair of one configuration."""
    by_id = {one.run.id: label for one, label in zip(contenders, labels, strict=True)}
    return bits_lines(pairs(history, contenders), by_id)
