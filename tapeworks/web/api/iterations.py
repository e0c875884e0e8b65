"""The iterations of a run, their images, and the ledger of both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query

from tapeworks.storage.queries.pages import LedgerPlace, Part, list_iterations, list_ledger
from tapeworks.storage.records import ImageValues, IterationRecord, LedgerRecord
from tapeworks.web.api.models import (
    Image,
    LedgerQuery,
    Number,
    Page,
    PageAsked,
    Reference,
    read_cursor,
    write_cursor,
)
from tapeworks.web.api.runs import find_run
from tapeworks.web.site import Site


def make_router(site: Site) -> APIRouter:
    """Routes to what was computed."""
    router, history = APIRouter(tags=["history"]), site.history

    @router.get("/runs/{run}/iterations")
    def iterations(run: Reference, asked: PageAsked) -> Page[IterationRecord]:
        """The committed iterations, in order: the loss history."""
        [first] = read_cursor(asked.cursor, 0)
        part = Part(first=first, limit=asked.limit)
        found = list_iterations(history.database, find_run(history, run).id, part)
        is_full = len(found) == asked.limit
        return Page(
            items=found, next_cursor=write_cursor(found[-1].iteration + 1) if is_full else None
        )

    @router.get("/runs/{run}/iterations/{iteration}/images")
    def images(run: Reference, iteration: Number, asked: PageAsked) -> Page[Image]:
        """The values of each image, in the order of the image set."""
        [first] = read_cursor(asked.cursor, 0)
        values = history.image_values(find_run(history, run).id, iteration)
        end, count = first + asked.limit, len(values.losses) // 4
        return Page(
            items=list(read_images(values, first, end)),
            next_cursor=write_cursor(end) if end < count else None,
        )

    @router.get("/runs/{run}/ledger")
    def ledger(run: Reference, asked: Annotated[LedgerQuery, Query()]) -> Page[LedgerRecord]:
        """The worker that computed each image, and the attempt, in image order."""
        iteration, entry = read_cursor(asked.cursor, 0, 0)
        start = LedgerPlace(iteration=iteration, entry=entry)
        run_id = find_run(history, run).id
        found = list_ledger(history.database, run_id, start, asked.limit, asked.iteration)
        if len(found) < asked.limit:
            return Page(items=found, next_cursor=None)
        behind = start.behind(found)
        return Page(items=found, next_cursor=write_cursor(behind.iteration, behind.entry))

    return router


def read_images(values: ImageValues, first: int, end: int) -> Iterator[Image]:
    """Return these images of an iteration; what their network does not give is None."""
    import numpy as np

    losses = np.frombuffer(values.losses, "<f4")[first:end].tolist()
    norms = values.gradient_norms and np.frombuffer(values.gradient_norms, "<f4").tolist()
    numbers = values.image_numbers and np.frombuffer(values.image_numbers, "<i4").tolist()
    for place, loss in enumerate(losses, start=first):
        yield Image(
            image=numbers[place] if numbers else place,
            loss=loss,
            gradient_norm=norms[place] if norms else None,
            predicted=values.predictions[place] if values.predictions else None,
        )
