"""Workers and schedulers: those in the history, and those that are registered at Redis."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from tapeworks.cluster.watching.serving import Serving
from tapeworks.storage.owners import name_owner
from tapeworks.storage.queries.overview import WorkerTotal, find_running, total_workers
from tapeworks.storage.records import RunRecord
from tapeworks.web.asked import asks
from tapeworks.web.pages.living import Living, Lookout
from tapeworks.web.site import Site

#: The newest runs whose workers are shown.
MOST_RUNS = 100

#: Workers that are shown of them, the latest ones.
MOST_WORKERS = 500

UP, LATE, UNKNOWN = "up", "late", "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Driver:
    """A process that drives a run."""

    name: str
    run: RunRecord
    state: str
    lease_until: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """A worker of the history."""

    total: WorkerTotal
    state: str
    images_per_second: float | None
    last_at: str


def make_router(site: Site) -> APIRouter:
    """Routes to the page of workers and schedulers."""
    router, lookout = APIRouter(), Lookout(site.options.redis_url)

    @router.get("/workers", dependencies=[asks()])
    def show_workers(request: Request) -> Response:
        database = site.history.database

        def make_context() -> dict[str, Any]:
            totals = total_workers(database, MOST_RUNS, MOST_WORKERS)
            served = database.read_id()
            return workers_context(
                find_running(database), totals, lookout.look(), database.now(), served
            )

        return site.answer(request, "workers.html", make_context, beside=time.monotonic())

    return router


def workers_context(
    running: Sequence[RunRecord],
    totals: Sequence[WorkerTotal],
    living: Living,
    now: datetime,
    database_id: str = "",
) -> dict[str, Any]:
    """All that is known, and nothing that is guessed."""
    names = {worker.name for worker in living.workers}
    return {
        "living": living,
        "serving": Serving(database_id, living.schedulers),
        "drivers": [_driver(run, now) for run in running],
        "known": [_known(total, names, living) for total in totals],
        "most_runs": MOST_RUNS,
        "most_workers": MOST_WORKERS,
    }


def _driver(run: RunRecord, now: datetime) -> Driver:
    """Up while it has renewed its lease in time."""
    until = run.lease_until
    state = UNKNOWN if until is None else UP if until > now else LATE
    return Driver(name=name_owner(run.owner), run=run, state=state, lease_until=_second(until))


def _known(total: WorkerTotal, names: set[str], living: Living) -> Known:
    pace = total.images / total.seconds if total.seconds else None
    return Known(
        total=total,
        state=state_of(total, names, living),
        images_per_second=pace,
        last_at=_second(total.last_at),
    )


def state_of(total: WorkerTotal, names: set[str], living: Living) -> str:
    """Up if it shows itself; late if it does not, and a run that it served is running.

    Otherwise unknown: it may have ended, or be at another Redis.
    """
    if living.problem:
        return UNKNOWN
    if total.name in names:
        return UP
    return LATE if total.serves else UNKNOWN


def _second(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
