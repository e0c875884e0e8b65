"""One run: how it stands and goes on, what it was made of, and what it left behind."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import QueryParams

from tapeworks.cli.given import read_whole
from tapeworks.cli.outputs.describe import (
    duration_text,
    evaluation_lines,
    evaluation_words,
    loss_words,
    setting_text,
    setting_texts,
    size,
    submitter_text,
)
from tapeworks.cluster.watching.progress import Pace
from tapeworks.comparison.runs import settings_of
from tapeworks.model.config import RunConfig
from tapeworks.model.parameters import history_digest
from tapeworks.storage import tables
from tapeworks.storage.glances import (
    count_of_run,
    read_chosen,
    read_kept_checkpoints,
    read_losses,
    read_newest_events,
)
from tapeworks.storage.history import History
from tapeworks.storage.records import (
    EvaluationRecord,
    IterationRecord,
    RunRecord,
    RunStatus,
    iteration_count,
)
from tapeworks.storage.records import Request as Asked
from tapeworks.storage.references import RUN_ID
from tapeworks.web.asked import asks, with_query
from tapeworks.web.pages.curves import read_range
from tapeworks.web.site import Site

#: Events, and how many of them may be asked for.
DEFAULT_EVENTS, MOST_EVENTS = 20, 1000

#: Newest iterations that are listed, and checkpoints.
NEWEST, MOST_CHECKPOINTS = 10, 200

#: Runs whose history's digest is kept.
MOST_DIGESTS = 500

#: Stored beside the settings; nobody sets it.
_NO_SETTINGS = {"sum_order"}


class Action(StrEnum):
    """The requests that people may make of a run."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    PRIORITY = "priority"
    DELETE = "delete"


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A setting as it is written, and as it is where nothing is said."""

    name: str
    text: str
    default: str
    differs: bool


class Digests:
    """The digests of loss histories, each made once."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._kept = OrderedDict[tuple[str, str], str]()
        self._lock = threading.Lock()

    def of(self, run: RunRecord) -> str | None:
        """Return what runs with the same losses share; None while it changes all the time."""
        if run.status is RunStatus.RUNNING:
            return None
        key = run.id, run.parameters_digest
        with self._lock:
            if key in self._kept:
                return self._kept[key]
        digest = history_digest(read_losses(self._history.database, run.id))
        with self._lock:
            self._kept[key] = digest
            while len(self._kept) > MOST_DIGESTS:
                self._kept.popitem(last=False)
        return digest


def make_router(site: Site) -> APIRouter:
    """Routes to one run."""
    router, digests = APIRouter(), Digests(site.history)

    @router.get("/runs/{reference}", dependencies=[asks("from", "to", "events")])
    def show_run(request: Request, reference: str) -> Response:
        if not RUN_ID.fullmatch(reference):
            run = site.history.find_run(reference)
            return RedirectResponse(with_query(f"/runs/{run.id}", request.url.query))
        asked = request.query_params
        return site.answer(
            request, "run.html", lambda: run_context(site.history, digests, reference, asked)
        )

    return router


def run_context(
    history: History, digests: Digests, run_id: str, asked: QueryParams
) -> dict[str, Any]:
    """The values of the page. Raises `RunNotFound` and `InvalidValue`."""
    run = history.find_run(run_id)
    limit = read_whole("events", asked.get("events") or DEFAULT_EVENTS, 1, MOST_EVENTS)
    events = read_newest_events(history.database, run.id, limit)
    all_events = count_of_run(history.database, tables.events, run.id)
    newest = newest_iterations(history, run)
    tags = history.tags(run.id)
    evaluations = history.evaluations(run.id)
    seconds = measured_seconds(newest)
    read_range(asked)  # refuses what the curves would refuse
    return {
        "run": run,
        "label": run.name or run.id,
        "held_out": held_out(evaluations[-1]) if evaluations else None,
        "facts": facts(run, evaluations),
        "left": time_left(run, seconds),
        "newest": newest,
        "seconds": seconds,
        "tags": tags,
        "settings": settings(run),
        "history_digest": digests.of(run),
        "checkpoints": [
            (kept, size(kept.size))
            for kept in read_kept_checkpoints(history.database, run.id, MOST_CHECKPOINTS)
        ],
        "all_checkpoints": count_of_run(history.database, tables.checkpoints, run.id),
        "events": events,
        "all_events": all_events,
        "more_events": min(limit + 100, MOST_EVENTS) if all_events > limit < MOST_EVENTS else None,
        "actions": actions(run),
        "curves": curves_query(run, asked),
        "begin": asked.get("from", ""),
        "last": asked.get("to", ""),
        "forms": forms(run, tags),
        "refused": {},
    }


def forms(run: RunRecord, tags: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The texts in the inputs of each form, by the word that its address ends in."""
    written = "".join(f"{key}={value}\n" for key, value in tags.items())
    return {
        "pause": {"reason": ""},
        "retry": {"settings": "", "name": "", "after": "", "paused": ""},
        "describe": {"name": run.name or "", "note": run.note or "", "tags": written},
        "priority": {"priority": str(run.priority)},
    }


def refuse(
    context: dict[str, Any], form: str, typed: Mapping[str, str], sentence: str
) -> dict[str, Any]:
    """The values of the page with what was typed into a form, and what was wrong with it."""
    return context | {
        "forms": context["forms"] | {form: typed},
        "refused": {form: sentence},
    }


def curves_query(run: RunRecord, asked: QueryParams) -> str:
    """The query by which this page asks for its curves."""
    chosen = {name: asked[name] for name in ("from", "to") if asked.get(name)}
    return urlencode({"run": run.id} | chosen)


def newest_iterations(history: History, run: RunRecord) -> list[IterationRecord]:
    """Return the newest few of its own, the newest first."""
    begin = max(run.first_iteration, run.completed_iterations - NEWEST)
    wanted = range(begin, run.completed_iterations)
    return read_chosen(history.database, run.id, wanted)[::-1]


def time_left(run: RunRecord, seconds: float | None) -> str | None:
    """Return about how long a running run still takes, by the seconds of an iteration."""
    if run.status is not RunStatus.RUNNING or seconds is None:
        return None
    return duration_text(seconds * (run.iterations - run.completed_iterations))


def measured_seconds(newest: list[IterationRecord]) -> float | None:
    """Return how long one of these iterations took, the newest first; None while none tells."""
    pace = Pace()
    for record in reversed(newest):
        pace.measure(record)
    return pace.seconds


def clock(moment: datetime | None) -> str:
    """A time as all pages write it."""
    return moment.strftime("%Y-%m-%d %H:%M:%S") if moment else "–"


def held_out(newest: EvaluationRecord) -> dict[str, str]:
    """The newest accuracy on held-out images, or the loss, as the page's head shows it."""
    measure, text = evaluation_words(newest)
    after = iteration_count(newest.completed_iterations)
    return {"measure": measure, "text": text, "after": after}


def facts(run: RunRecord, evaluations: Sequence[EvaluationRecord]) -> list[tuple[str, str]]:
    """Labels and texts beside its status."""
    told = [
        *evaluation_lines(evaluations),
        ("loss", loss_words(run)),
        ("priority", str(run.priority)),
        ("note", run.note or ""),
        ("created", clock(run.created_at)),
        ("submitted by", submitter_text(run) if run.submitter else ""),
        ("started", clock(run.started_at)),
        ("ended", clock(run.ended_at)),
        ("driven by", run.owner or ""),
        ("fingerprint", run.fingerprint or ""),
    ]
    return [(label, text) for label, text in told if text]


def settings(run: RunRecord) -> list[Setting]:
    """The settings, those that differ from the defaults first."""
    plain = RunConfig().model_dump(mode="json")
    defaults = {name: setting_text(value) for name, value in plain.items()}
    texts = {name: setting_text(value) for name, value in settings_of(run).items()}
    explained = texts | setting_texts(run)  # what was left open shows what it comes to
    found = [
        Setting(
            name=name,
            text=explained[name],
            default=(default := defaults.get(name, "-")),
            differs=text != default,
        )
        for name, text in texts.items()
        if name not in _NO_SETTINGS
    ]
    return sorted(found, key=lambda one: not one.differs)


def actions(run: RunRecord) -> set[Action]:
    """Return what may be asked of it as it stands."""
    is_driven, is_finished = run.status is RunStatus.RUNNING, run.status.is_finished
    is_pausing = run.status is RunStatus.PAUSED or run.request is Asked.PAUSE
    wanted = {
        Action.PAUSE: not (is_finished or is_pausing or run.request),
        Action.RESUME: is_pausing,
        Action.CANCEL: not is_finished and run.request is not Asked.CANCEL,
        Action.PRIORITY: not is_finished,
        Action.DELETE: not is_driven,
    }
    return {action for action, possible in wanted.items() if possible}
