"""The values of images: the hardest, all of an iteration, or one over the iterations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query

from tapeworks.comparison.runs import settings_of
from tapeworks.plotting.hardest import RunImage, check_order, describe_images, read_losses
from tapeworks.plotting.image_losses import ImageLosses, numbers_of, read_values
from tapeworks.plotting.kinds import check_iterations
from tapeworks.storage.errors import ImageNotFound
from tapeworks.storage.history import History
from tapeworks.storage.queries.overview import read_rows, row_of
from tapeworks.storage.records import ImageValues, RunRecord
from tapeworks.web.api.models import (
    HardestQuery,
    Image,
    ImageLoss,
    Number,
    Page,
    PageAsked,
    read_cursor,
    write_cursor,
)
from tapeworks.web.api.runs import AskedRun
from tapeworks.web.api.stories import part_of
from tapeworks.web.site import Site
from tapeworks.web.unchanged import UNCHANGED

#: Rankings that are kept for their next pages; each has some 40 bytes of an image.
MOST_KEPT = 4


def make_router(site: Site) -> APIRouter:
    """Routes to them."""
    router, history = APIRouter(tags=["history"]), site.history

    @lru_cache(MOST_KEPT)
    def read(run_id: str, _term: int, completed: int, iteration: int | None) -> ImageLosses:
        run = replace(history.find_run(run_id), completed_iterations=completed)
        return read_losses(history, run, iteration)

    @router.get("/runs/{run}/images", responses=UNCHANGED)
    def list_hardest(run: AskedRun, asked: Annotated[HardestQuery, Query()]) -> Page[RunImage]:
        """Every image of which a loss is known, those with the highest losses first.

        All pages are of the iterations that were committed when the first one was asked for.
        """
        check_order(asked.by, asked.iteration)
        first, known = read_cursor(asked.cursor, 0, run.completed_iterations)
        completed, end = min(known, run.completed_iterations), first + asked.limit
        check_iterations(replace(run, completed_iterations=completed), asked.iteration)
        losses = read(run.id, run.term, completed, asked.iteration)
        order = losses.rank(asked.by)
        return Page(
            items=describe_images(history, run, losses, order[first:end].tolist()),
            next_cursor=write_cursor(end, completed) if end < len(order) else None,
        )

    @router.get("/runs/{run}/iterations/{iteration}/images", responses=UNCHANGED)
    def images(run: AskedRun, iteration: Number, asked: PageAsked) -> Page[Image]:
        """The values of each image, in the order of the image set."""
        [first] = read_cursor(asked.cursor, 0)
        values = history.image_values(run.id, iteration)
        end, count = first + asked.limit, len(values.losses) // 4
        return Page(
            items=list(read_images(values, first, end, read_rows(history.database, run.id))),
            next_cursor=write_cursor(end) if end < count else None,
        )

    @router.get("/runs/{run}/images/{image}", responses=UNCHANGED)
    def image(run: AskedRun, image: Number, asked: PageAsked) -> Page[ImageLoss]:
        """The values of one image in the iterations that were recorded in full and computed it."""
        part, count = part_of(asked), settings_of(run)["images"]
        if image >= count:
            raise ImageNotFound(run.id, count, image)
        recorded = history.list_recorded_iterations(run.id)
        end = part.first + part.limit
        return Page(
            items=list(read_course(history, run, image, recorded[part.first : end])),
            next_cursor=write_cursor(end) if end < len(recorded) else None,
        )

    return router


def read_images(values: ImageValues, first: int, end: int, rows: bytes | None) -> Iterator[Image]:
    """Return these images of an iteration; what their network does not give is None."""
    for place, number in enumerate(numbers_of(values)[first:end].tolist(), start=first):
        yield Image(image=number, row=row_of(rows, number), **_values_at(values, place))


def read_course(
    history: History, run: RunRecord, number: int, iterations: Sequence[int]
) -> Iterator[ImageLoss]:
    """Return the image's values in those of the iterations that computed it."""
    for iteration, values in read_values(history, run, iterations):
        for place in np.flatnonzero(numbers_of(values) == number).tolist():
            yield ImageLoss(iteration=iteration, **_values_at(values, place))


def _values_at(values: ImageValues, place: int) -> dict[str, Any]:
    losses, norms = values.losses, values.gradient_norms
    return {
        "loss": np.frombuffer(losses, "<f4")[place].item(),
        "gradient_norm": norms and np.frombuffer(norms, "<f4")[place].item(),
        "predicted": values.predictions and values.predictions[place],
    }
