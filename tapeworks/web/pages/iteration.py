"""The ledger of an iteration: who computed what and when, and that each image counts once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tapeworks.cli.given import read_whole
from tapeworks.plotting.timeline import Timeline, timeline
from tapeworks.storage.errors import IterationNotFound, IterationNotRecorded
from tapeworks.storage.glances import read_chosen, read_events_about
from tapeworks.storage.history import History
from tapeworks.storage.queries.search import query
from tapeworks.storage.records import IterationRecord, LedgerRecord, RunRecord
from tapeworks.web.asked import asks
from tapeworks.web.site import Site

#: Lines of a ledger that are listed; all of them are in SQL.
MOST_LINES = 500

#: Seconds that the proof may take.
PROOF_SECONDS = 10.0

#: Exactly once is: fewest_times = 1 and most_times = 1.
PROOF = """WITH changes AS (  -- of the number of times counted, from one place to the next
    SELECT 0 AS place, 0 AS change
    UNION ALL
    SELECT first_image, 1 FROM ledger
    WHERE run_id = '{run}' AND iteration = {iteration}
    UNION ALL
    SELECT first_image + image_count, -1 FROM ledger
    WHERE run_id = '{run}' AND iteration = {iteration}
),
places AS (
    SELECT place, CAST(sum(change) AS integer) AS change FROM changes GROUP BY place
),
stretches AS (  -- each reaches to the place of the next one
    SELECT place, sum(change) OVER (ORDER BY place) AS times FROM places
)
SELECT i.images, min(s.times) AS fewest_times, max(s.times) AS most_times
FROM iterations AS i
JOIN stretches AS s ON s.place >= 0 AND s.place < i.images
WHERE i.run_id = '{run}' AND i.iteration = {iteration}
GROUP BY i.images"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """The counts of an iteration's images, by its ledger."""

    sql: str
    images: int
    fewest: int
    most: int

    @property
    def holds(self) -> bool:
        """True if each image was counted once."""
        return self.fewest == self.most == 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Strip:
    """An answer as a stretch of a worker's row, in percent of the iteration."""

    left: float
    width: float
    shard: int
    attempt: int
    seconds: float


def make_router(site: Site) -> APIRouter:
    """Routes to iterations."""
    router = APIRouter()

    @router.get("/runs/{run_id}/iterations", dependencies=[asks("iteration")])
    def choose_iteration(request: Request, run_id: str) -> Response:
        wanted = read_whole("iteration", request.query_params.get("iteration", ""))
        return RedirectResponse(f"/runs/{run_id}/iterations/{wanted}", HTTPStatus.SEE_OTHER)

    @router.get("/runs/{run_id}/iterations/{iteration}", dependencies=[asks()])
    def show_iteration(request: Request, run_id: str, iteration: str) -> Response:
        place = read_whole("iteration", iteration)
        return site.answer(
            request, "iteration.html", lambda: iteration_context(site.history, run_id, place)
        )

    return router


def iteration_context(history: History, run_id: str, iteration: int) -> dict[str, Any]:
    """The values of the page. Raises `RunNotFound` and `IterationNotFound`."""
    run = history.find_run(run_id)
    found = read_chosen(history.database, run.id, [iteration])
    if not found:
        raise IterationNotFound(run, iteration)
    ledger = history.ledger(run.id, iteration)
    return {
        "run": run,
        "label": run.name or run.id,
        "record": found[0],
        "proof": prove(history, run, iteration),
        "rows": timeline_rows(history, run, found[0]),
        "lines": ledger[:MOST_LINES],
        "left_out": max(len(ledger) - MOST_LINES, 0),
        "repeated": repeated(ledger),
        "events": read_events_about(history.database, run.id, iteration),
        "before": iteration - 1 if iteration > run.first_iteration else None,
        "after": iteration + 1 if iteration + 1 < run.completed_iterations else None,
    }


def prove(history: History, run: RunRecord, iteration: int) -> Proof:
    """Have the database count, over the view that people ask, too."""
    sql = PROOF.format(run=run.id.replace("'", "''"), iteration=iteration)
    [[images, fewest, most]] = query(history.database, sql, seconds=PROOF_SECONDS).rows
    return Proof(sql=sql, images=int(str(images)), fewest=int(str(fewest)), most=int(str(most)))


def repeated(ledger: Sequence[LedgerRecord]) -> list[LedgerRecord]:
    """Return an entry of each shard that was sent again before its answer was counted."""
    return list({line.shard: line for line in ledger if line.attempt > 1}.values())


def timeline_rows(
    history: History, run: RunRecord, record: IterationRecord
) -> list[tuple[str, list[Strip]]] | None:
    """Return each worker with its answers; None where the answers' times were not stored."""
    try:
        shown = timeline(history, run, record.iteration)
    except IterationNotRecorded:
        return None
    return [
        (worker, strips(shown, row, record.seconds)) for row, worker in enumerate(shown.workers)
    ]


def strips(shown: Timeline, row: int, seconds: float) -> list[Strip]:
    """Return the answers of one worker, cut where clocks of two machines differ."""
    ends = [bar.begin + bar.seconds for bar in shown.bars]
    whole = max([seconds, *ends])
    found = []
    for bar in shown.bars:
        if bar.worker == row:
            left = max(bar.begin, 0.0)
            width = max(bar.begin + bar.seconds - left, 0.0)
            found.append(
                Strip(
                    left=100 * left / whole if whole else 0.0,
                    width=100 * width / whole if whole else 0.0,
                    shard=bar.shard,
                    attempt=bar.attempt,
                    seconds=bar.seconds,
                )
            )
    return found
