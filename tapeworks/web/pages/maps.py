"""The heat map of all images' losses over the iterations: its picture, and its colours' scale."""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from tapeworks.plotting.heat_map import HeatMap, Losses, heat_map
from tapeworks.storage.history import History
from tapeworks.web.asked import asks
from tapeworks.web.pages.pictures import Pixels, encode, send_png
from tapeworks.web.problems import Refused
from tapeworks.web.site import Site

#: Parts of the colours' scale that have a number.
TICKS = 4

#: Losses below so much of the highest one share its darkest colour.
SMALLEST_SHARE = 1e-6

#: The map's colours, from low to high losses.
COLOURS = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)])


def make_router(site: Site) -> APIRouter:
    """Routes to both."""
    router, maps = APIRouter(), Maps(site.history)

    @router.get("/runs/{reference}/heat-map.png", dependencies=[asks("iterations")])
    def send_map(reference: str) -> Response:
        shown = maps.find(reference)
        return send_png(encode(colour(shown.losses)))

    @router.get("/runs/{reference}/heat-map-scale.svg", dependencies=[asks("iterations")])
    def send_scale(request: Request, reference: str) -> Response:
        def make_context() -> dict[str, Any]:
            return scale(maps.find(reference).losses)

        return site.answer(request, "heat_map_scale.svg", make_context, "image/svg+xml")

    return router


class Maps:
    """The heat map that was last looked at: its picture and its scale are asked for apart."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._kept: tuple[tuple[str, int], HeatMap] | None = None
        self._drawing = threading.Lock()

    def find(self, reference: str) -> HeatMap:
        """The heat map. Raises `Refused` for a run of which no image's loss is stored."""
        run = self._history.find_run(reference)
        key = run.id, run.completed_iterations
        with self._drawing:  # one at a time: it reads every image's loss
            if self._kept is None or self._kept[0] != key:
                if not self._history.list_recorded_iterations(run.id):
                    raise Refused(
                        HTTPStatus.NOT_FOUND, "No loss of an image is stored of this run."
                    )
                self._kept = key, heat_map(self._history, run)
            return self._kept[1]


def colour(losses: Losses) -> Pixels:
    """The losses' colours by their logarithm, (rows, columns, 4); NaN is transparent."""
    known = np.isfinite(losses)
    low, high = bounds(losses)
    logarithms = np.log(np.clip(np.where(known, losses, low), low, high))
    span = np.log(high) - np.log(low) or 1.0
    places = (logarithms - np.log(low)) / span * (len(COLOURS) - 1)
    pixels = np.empty((*losses.shape, 4), np.uint8)
    for part in range(3):
        pixels[..., part] = np.rint(np.interp(places, range(len(COLOURS)), COLOURS[:, part]))
    pixels[..., 3] = np.where(known, 255, 0)
    return pixels


def bounds(losses: Losses) -> tuple[float, float]:
    """The losses of the darkest and the lightest colour."""
    known = losses[np.isfinite(losses)]
    high = float(known.max(initial=0.0)) or 1.0
    return max(float(known.min(initial=high)), high * SMALLEST_SHARE), high


def scale(losses: Losses) -> dict[str, Any]:
    """The losses at some of the colours, and all colours, each at its share of the scale."""
    low, high = bounds(losses)
    shares = [tick / TICKS for tick in range(TICKS + 1)]
    return {
        "ticks": [(share, f"{low * (high / low) ** share:.2g}") for share in shares],
        "colours": [
            (place / (len(COLOURS) - 1), "#{:02x}{:02x}{:02x}".format(*one))
            for place, one in enumerate(COLOURS.tolist())
        ],
    }
