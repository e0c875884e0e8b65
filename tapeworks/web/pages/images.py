"""A run's images: the hardest ones, all of them over the iterations, and one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import QueryParams

from tapeworks.cli.given import read_whole
from tapeworks.errors import InvalidValue
from tapeworks.plotting.hardest import MOST_IMAGES, SHEET, RunImage, check_order, describe_images
from tapeworks.plotting.heat_map import image_course
from tapeworks.plotting.image_losses import By, read_image_losses, read_last_losses
from tapeworks.storage.errors import IterationNotFound, IterationNotRecorded, NotFound
from tapeworks.storage.glances import find_recorded
from tapeworks.storage.history import History
from tapeworks.storage.queries.overview import read_labels, read_rows, row_of
from tapeworks.storage.records import RunRecord
from tapeworks.web.asked import asks
from tapeworks.web.pages.pictures import Pictures, send_png
from tapeworks.web.pages.sparklines import points
from tapeworks.web.problems import Refused
from tapeworks.web.site import Site

#: Losses of an image up to which each has a point of its own.
FEW_POINTS = 60

#: How the page names the loss that orders images.
ORDERS = {By.LAST: "last known loss", By.MEAN: "mean over the iterations"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """The images that a URL asks for: the hardest ones, and by what."""

    iteration: int | None = None
    by: By = By.LAST
    limit: int = SHEET


def make_router(site: Site) -> APIRouter:
    """Routes to a run's images and to each of them."""
    router, pictures = APIRouter(), Pictures()

    def answer(request: Request, template: str, run: RunRecord, make_context: Any) -> Response:
        """With what the database does not tell: the reason why the images are not to be seen."""
        problem = {"problem": pictures.find_problem(run)}
        return site.answer(request, template, lambda: make_context() | problem, beside=problem)

    @router.get("/runs/{reference}/images", dependencies=[asks("by", "limit", "iteration")])
    def show_images(request: Request, reference: str) -> Response:
        run = site.history.find_run(reference)
        wanted = read_sheet(request.query_params)
        return answer(
            request, "images.html", run, lambda: images_context(site.history, reference, wanted)
        )

    @router.get("/runs/{reference}/images/{number}.png")
    def send_image(reference: str, number: int) -> Response:
        run = site.history.find_run(reference)
        return send_png(pictures.read_image(run, number))

    @router.get("/runs/{reference}/images/{number}", dependencies=[asks()])
    def show_image(request: Request, reference: str, number: int) -> Response:
        run = site.history.find_run(reference)
        return answer(
            request, "image.html", run, lambda: image_context(site.history, reference, number)
        )

    return router


def read_sheet(asked: QueryParams) -> Sheet:
    """Return what the URL asks for. Raises `UsageError`."""
    by = asked.get("by") or By.LAST
    if by not in set(By):
        raise InvalidValue(" or ".join(By), "by", by)
    iteration = read_whole("iteration", asked["iteration"]) if asked.get("iteration") else None
    check_order(By(by), iteration)
    limit = read_whole("limit", asked.get("limit") or SHEET, 1, MOST_IMAGES)
    return Sheet(iteration=iteration, by=By(by), limit=limit)


def images_context(history: History, reference: str, sheet: Sheet) -> dict[str, Any]:
    """The hardest images of this iteration, or of all by each one's last known or mean loss."""
    run, wanted = history.find_run(reference), sheet.iteration
    iteration = find_newest(history, run) if wanted is None else wanted
    recorded, rows, known = [], list[RunImage](), 0
    if iteration is not None:
        recorded = find_recorded(history.database, run.id, iteration)
    if wanted is not None and wanted not in recorded:
        raise refusal(run, wanted, recorded)
    if iteration is not None:
        rows, known = hard_images(history, run, sheet)
    return {
        "run": run,
        "label": run.name or run.id,
        "iteration": iteration,
        "follows": wanted is None,
        "neighbours": neighbours(recorded, iteration),
        "images": rows,
        "known": known,
        "by_mean": sheet.by is By.MEAN,
        "orders": [(by.value, words, by is sheet.by) for by, words in ORDERS.items()],
        "limit": "" if sheet.limit == SHEET else sheet.limit,
        "maps": f"/runs/{run.id}/heat-map",
    }


def refusal(run: RunRecord, wanted: int, recorded: Sequence[int]) -> NotFound:
    """Return the error for an iteration that was not recorded, or is not there at all."""
    if run.first_iteration <= wanted < run.completed_iterations:
        return IterationNotRecorded(run.id, wanted, recorded)
    return IterationNotFound(run, wanted)


def find_newest(history: History, run: RunRecord) -> int | None:
    """Return the newest iteration that was recorded in full; None if no image's loss is stored."""
    return max(find_recorded(history.database, run.id, run.completed_iterations), default=None)


def hard_images(history: History, run: RunRecord, sheet: Sheet) -> tuple[list[RunImage], int]:
    """The images with the highest losses, the highest first, and of how many a loss is known."""
    if sheet.iteration is not None:
        losses = read_image_losses(history, run, [sheet.iteration])
    elif sheet.by is By.MEAN:
        losses = read_image_losses(history, run)
    else:
        losses = read_last_losses(history, run)
    order = losses.rank(sheet.by)
    return describe_images(history, run, losses, order[: sheet.limit].tolist()), len(order)


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
    found = image_course(history, run, number)
    course = found.losses
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
        "few": FEW_POINTS,
        "recorded": found.recorded,
        "curve": points(losses),
        "highest": max(finite, default=0.0),
        "lowest": min(finite, default=0.0),
        "first": losses[0][0],
        "last": losses[-1][0],
        "rows": [
            (one.iteration, one.loss, _class(classes, one.predicted, 0)) for one in reversed(course)
        ],
    }
