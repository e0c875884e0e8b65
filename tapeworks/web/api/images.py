"""The values of images: the hardest, all of an iteration, or one over the iterations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query

from tapeworks.comparison.runs import settings_of
from tapeworks.plotting.hardest import RunImage, check_order, find_images
from tapeworks.plotting.image_losses import numbers_of, read_values
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
from tapeworks.web.api.stories import page_of, part_of
from tapeworks.web.site import Site
from tapeworks.web.unchanged import UNCHANGED


def make_router(site: Site) -> APIRouter:
    """Routes to them."""
    router, history = APIRouter(tags=["history"]), site.history

    @router.get("/runs/{run}/images", responses=UNCHANGED)
    def hardest(run: AskedRun, asked: Annotated[HardestQuery, Query()]) -> Page[RunImage]:
        """Every image of which a loss is known, those with the highest losses first."""
        check_order(asked.by, asked.iteration)
        check_iterations(run, asked.iteration)
        part = part_of(asked)
        found = find_images(
            history,
            run,
            by=asked.by,
            first=part.first,
            limit=part.limit,
            iteration=asked.iteration,
        )
        return page_of(found, part)

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
