"""A run's images: the hardest ones, all of them over the iterations, and one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from tapeworks.cli.given import read_whole
from tapeworks.plotting.hardest import hardest_places
from tapeworks.plotting.heat_map import image_course
from tapeworks.storage.errors import IterationNotRecorded
from tapeworks.storage.glances import find_recorded
from tapeworks.storage.history import History
from tapeworks.storage.queries.overview import read_labels
from tapeworks.storage.records import ImageValues, RunRecord
from tapeworks.web.pages.pictures import Pictures, send_png
from tapeworks.web.pages.sparklines import points
from tapeworks.web.problems import Refused
from tapeworks.web.site import Site


@dataclass(frozen=True, kw_only=True, slots=True)
class HardImage:
    """An image with a high loss."""

    number: int
    #: Its class and the one that it was taken for, as the data set has them; empty if it has none.
    label: str
    predicted: str
    loss: float
    gradient_norm: float | None

    @property
    def is_wrong(self) -> bool:
        return bool(self.label and self.predicted) and self.label != self.predicted


def make_router(site: Site) -> APIRouter:
    """Routes to a run's images and to each of them."""
    router, pictures = APIRouter(), Pictures()

    def answer(request: Request, template: str, run: RunRecord, make_context: Any) -> Response:
        """With what the database does not tell: the reason why the images are not to be seen."""
        problem = {"problem": pictures.find_problem(run)}
        return site.answer(request, template, lambda: make_context() | problem, beside=problem)

    @router.get("/runs/{reference}/images")
    def show_images(request: Request, reference: str) -> Response:
        run = site.history.find_run(reference)
        asked = request.query_params.get("iteration")
        wanted = read_whole("iteration", asked) if asked else None
        return answer(
            request, "images.html", run, lambda: images_context(site.history, reference, wanted)
        )

    @router.get("/runs/{reference}/images/{number}.png")
    def send_image(reference: str, number: int) -> Response:
        run = site.history.find_run(reference)
        return send_png(pictures.read_image(run, number))

    @router.get("/runs/{reference}/images/{number}")
    def show_image(request: Request, reference: str, number: int) -> Response:
        run = site.history.find_run(reference)
        return answer(
            request, "image.html", run, lambda: image_context(site.history, reference, number)
        )

    return router


def images_context(history: History, reference: str, wanted: int | None) -> dict[str, Any]:
    """The hardest images of this iteration, or of the newest that was recorded in full."""
    run = history.find_run(reference)
    iteration = find_newest(history, run) if wanted is None else wanted
    recorded, rows = [], []
    if iteration is not None:
        recorded = find_recorded(history.database, run.id, iteration)
    if wanted is not None and wanted not in recorded:
        raise IterationNotRecorded(run.id, wanted, recorded)
    if iteration is not None:
        values = history.image_values(run.id, iteration)
        rows = hard_images(run, values, read_labels(history.database, run.id))
    return {
        "run": run,
        "label": run.name or run.id,
        "iteration": iteration,
        "follows": wanted is None,
        "neighbours": neighbours(recorded, iteration),
        "images": rows,
        "maps": f"/runs/{run.id}/heat-map",
    }


def find_newest(history: History, run: RunRecord) -> int | None:
    """Return the newest iteration that was recorded in full; None if no image's loss is stored."""
    return max(find_recorded(history.database, run.id, run.completed_iterations), default=None)


def hard_images(run: RunRecord, values: ImageValues, labels: bytes | None) -> list[HardImage]:
    """The images with the highest losses, the highest first."""
    classes = run.configuration.get("classes") or ()
    losses = np.frombuffer(values.losses, "<f4")
    norms = np.frombuffer(values.gradient_norms or b"", "<f4")
    return [
        HardImage(
            number=number,
            label=_class(classes, labels, number),
            predicted=_class(classes, values.predictions, place),
            loss=float(losses[place]),
            gradient_norm=float(norms[place]) if len(norms) else None,
        )
        for place, number in hardest_places(values)
    ]


def _class(classes: Sequence[Any], indices: bytes | None, place: int) -> str:
    """The data set's name of a class that is stored as a byte; empty where there is none."""
    if not indices or place >= len(indices) or indices[place] >= len(classes):
        return ""
    return str(classes[indices[place]])


def neighbours(recorded: Sequence[int], iteration: int | None) -> list[tuple[str, int]]:
    """The recorded iterations before and after this one, with what they are called."""
    if iteration is None:
        return []
    place = recorded.index(iteration)
    links = [("Earlier", place - 1), ("Later", place + 1)]
    return [(title, recorded[at]) for title, at in links if 0 <= at < len(recorded)]


def image_context(history: History, reference: str, number: int) -> dict[str, Any]:
    """One image's loss over the iterations."""
    run = history.find_run(reference)
    course = image_course(history, run, number)
    if not course:
        raise Refused(HTTPStatus.NOT_FOUND, f"No loss of an image {number} is stored of this run.")
    losses = [(one.iteration, one.loss) for one in course]
    finite = [loss for _, loss in losses if math.isfinite(loss)]
    classes = run.configuration.get("classes") or ()
    return {
        "run": run,
        "label": run.name or run.id,
        "number": number,
        "of_class": _class(classes, read_labels(history.database, run.id), number),
        "curve": points(losses),
        "highest": max(finite, default=0.0),
        "lowest": min(finite, default=0.0),
        "first": losses[0][0],
        "last": losses[-1][0],
        "rows": [
            (one.iteration, one.loss, _class(classes, one.predicted, 0)) for one in reversed(course)
        ],
    }
