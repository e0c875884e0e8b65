"""A run's images: the hardest ones, all of them over the iterations, and one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response

from tapeworks.cli.given import read_whole
from tapeworks.plotting.hardest import SHEET, RunImage, describe_images
from tapeworks.plotting.heat_map import image_course
from tapeworks.plotting.image_losses import By, read_image_losses, read_last_losses
from tapeworks.storage.errors import IterationNotRecorded
from tapeworks.storage.glances import find_recorded
from tapeworks.storage.history import History
from tapeworks.storage.queries.overview import read_labels, read_rows, row_of
from tapeworks.storage.records import RunRecord
from tapeworks.web.pages.pictures import Pictures, send_png
from tapeworks.web.pages.sparklines import points
from tapeworks.web.problems import Refused
from tapeworks.web.site import Site


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
    """The hardest images of this iteration, or of all by each one's last known loss."""
    run = history.find_run(reference)
    iteration = find_newest(history, run) if wanted is None else wanted
    recorded, rows = [], []
    if iteration is not None:
        recorded = find_recorded(history.database, run.id, iteration)
    if wanted is not None and wanted not in recorded:
        raise IterationNotRecorded(run.id, wanted, recorded)
    if iteration is not None:
        rows = hard_images(history, run, wanted)
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


def hard_images(history: History, run: RunRecord, iteration: int | None) -> list[RunImage]:
    """The images with the highest losses, the highest first."""
    if iteration is None:
        losses = read_last_losses(history, run)
    else:
        losses = read_image_losses(history, run, [iteration])
    numbers = losses.rank(By.LAST)[:SHEET].tolist()
    return describe_images(history, run, losses, numbers)


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
        "row": row_of(read_rows(history.database, run.id), number),
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
