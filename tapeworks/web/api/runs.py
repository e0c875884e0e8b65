"""Runs: found, submitted, read and deleted."""

from __future__ import annotations

import hashlib
import json
from contextlib import nullcontext
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel

from tapeworks.cli.choices import read_moment
from tapeworks.cli.descriptions import pairs
from tapeworks.cli.given import read_described, read_optional
from tapeworks.storage.history import History
from tapeworks.storage.queries.pages import newest_evaluation, newest_event, read_runs
from tapeworks.storage.queries.search import Place, find_runs
from tapeworks.storage.records import RunRecord, RunStatus
from tapeworks.storage.submissions import SubmissionKey
from tapeworks.web.api.models import (
    Description,
    NothingAsked,
    Page,
    Reference,
    Retry,
    Run,
    RunsQuery,
    Submission,
    Submitted,
    as_run,
    read_cursor,
    write_cursor,
)
from tapeworks.web.site import Site
from tapeworks.web.submitting import Wanted, retry_run, submit_runs
from tapeworks.web.unchanged import UNCHANGED, IfNoneMatch, mark

#: A client's own name for a request: sent again with it, the request adds no run.
IdempotencyKey = Annotated[
    str | None, Header(min_length=1, max_length=200, pattern=r"^[!-~]([ -~]*[!-~])?$")
]


def find_run(history: History, reference: str) -> RunRecord:
    """The run with this id, prefix of one, or name, as it truly stands. Raises `RunNotFound`."""
    history.release_abandoned()
    return history.find_run(reference)


def read_run(
    request: Request, response: Response, run: Reference, _: IfNoneMatch = None
) -> RunRecord:
    """The run of a path to it or to what belongs to it. Raises `Unchanged`, too.

    Whatever of a run changes, its row does, its tags, or the events or evaluations that it has.
    """
    history: History = request.app.state.site.history
    found = find_run(history, run)
    database = history.database
    newest = newest_event(database, found.id), newest_evaluation(database, found.id)
    mark(request, response, found, history.tags(found.id), *newest)
    return found


#: The run that is asked for, unless the client has what would be answered.
AskedRun = Annotated[RunRecord, Depends(read_run)]


def describe_run(history: History, record: RunRecord) -> Run:
    """Return the run with its tags."""
    return as_run(record, history.tags(record.id))


def key_of(header: str | None, path: str, body: BaseModel) -> SubmissionKey | None:
    """Return the key, bound to all that the request asks for."""
    if header is None:
        return None
    asked = json.dumps([path, body.model_dump(mode="json")], sort_keys=True)
    digest = hashlib.sha256(asked.encode(errors="backslashreplace")).hexdigest()
    return SubmissionKey(key=header, digest=digest)


def described_by(body: Description) -> dict[str, Any]:
    """Return what the body says of a run, as far as it does."""
    given = body.model_dump(include=body.model_fields_set & Description.model_fields.keys())
    return read_described(**given)


def make_router(site: Site) -> APIRouter:
    """Routes to the runs themselves."""
    router, history = APIRouter(tags=["runs"]), site.history

    @router.get("/runs", responses=UNCHANGED)
    def list_runs(
        request: Request,
        response: Response,
        asked: Annotated[RunsQuery, Query()],
        _: IfNoneMatch = None,
    ) -> Page[Run]:
        """The runs that fulfil everything that is asked for, by default the newest first."""
        history.release_abandoned()
        if asked.where is None and asked.since is None:
            mark(request, response, site.changes.version())
            return list_page(site, asked)
        page = list_page(site, asked)  # may change with the time, while nothing else does
        mark(request, response, page)
        return page

    @router.post("/runs", status_code=HTTPStatus.CREATED)
    def submit(
        body: Submission, _: NothingAsked, idempotency_key: IdempotencyKey = None
    ) -> Submitted:
        """Queue a run, or one for every combination of what varies: all or none of them."""
        key = key_of(idempotency_key, "/runs", body)
        status = RunStatus.PAUSED if body.paused else RunStatus.QUEUED
        described = described_by(body) | {"status": status}
        wanted = Wanted(config=body.config, vary=body.vary, described=described)
        stored = submit_runs(history, wanted, key)
        tagged = read_runs(history.database, [run.id for run in stored])
        return Submitted(runs=[as_run(*one) for one in tagged])

    @router.get("/runs/{run}", responses=UNCHANGED)
    def get_run(found: AskedRun, _: NothingAsked) -> Run:
        """Everything about a run but its arrays."""
        return describe_run(history, found)

    @router.delete("/runs/{run}", status_code=HTTPStatus.NO_CONTENT)
    def delete_run(run: Reference, _: NothingAsked) -> Response:
        """Remove a run with all its history. One that is running is refused."""
        history.queue.delete(find_run(history, run).id)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @router.post("/runs/{run}/retry", status_code=HTTPStatus.CREATED)
    def retry(
        run: Reference, body: Retry, _: NothingAsked, idempotency_key: IdempotencyKey = None
    ) -> Run:
        """Queue its configuration again, with changes, from its beginning or a checkpoint."""
        old = find_run(history, run)
        key = key_of(idempotency_key, f"/runs/{old.id}/retry", body)
        new = retry_run(
            history, old, after=body.after, changes=body.changes, key=key, **described_by(body)
        )
        return describe_run(history, new)

    return router


def list_page(site: Site, asked: RunsQuery) -> Page[Run]:
    """Return a page, and the cursor of the next one if there are more."""
    value, run_id = read_cursor(asked.cursor, None, "")
    with nullcontext() if asked.where is None else site.query_slots.hold():
        found = find_runs(
            site.history.database,
            where=asked.where,
            status=asked.status,
            tags=pairs(asked.tag, "tag"),
            submitter=asked.submitter,
            since=read_optional(read_moment, "since", asked.since),
            sort=asked.sort,
            descending=asked.order == "desc",
            limit=asked.limit + 1,
            after=None if asked.cursor is None else Place(value=value, run_id=run_id),
            columns=["id", asked.sort],
        )
    shown = found.rows[: asked.limit]
    more = len(found.rows) > len(shown)
    tagged = read_runs(site.history.database, [str(row[0]) for row in shown])
    return Page(
        items=[as_run(*one) for one in tagged],
        next_cursor=write_cursor(shown[-1][1], shown[-1][0]) if more else None,
    )
