"""The forms of a run's page: each changes one thing and leads back to the page."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from tapeworks.cli.descriptions import pairs
from tapeworks.cli.given import read_priority, read_whole
from tapeworks.cli.outputs.describe import submitter_text
from tapeworks.errors import UsageError
from tapeworks.model.errors import ModelError
from tapeworks.storage.errors import StorageError
from tapeworks.storage.records import RunRecord, RunStatus
from tapeworks.web.asked import asks
from tapeworks.web.pages.run import Digests, retry_form, run_context
from tapeworks.web.pages.run_form import lines
from tapeworks.web.problems import status_of
from tapeworks.web.site import Site
from tapeworks.web.submitting import key_of_form, retry_run

#: A field of a form, which may be left empty.
Text = Annotated[str, Form()]


def make_router(site: Site) -> APIRouter:
    """Routes that change a run."""
    router, queue = APIRouter(), site.history.queue
    _add_requests(router, site)
    _add_retry(router, site)
    for verb in ("Cancel", "Delete"):
        _add_question(router, site, verb)

    @router.post("/runs/{run_id}/priority")
    def set_priority(run_id: str, priority: Text = "") -> Response:
        return go_to(queue.set_priority(run_id, read_priority("priority", priority)).id)

    @router.post("/runs/{run_id}/describe")
    def describe(run_id: str, name: Text = "", note: Text = "", tags: Text = "") -> Response:
        described = queue.describe(
            run_id,
            name=name.strip() or None,
            note=note.strip() or None,
            tags=pairs(lines(tags), "tag"),
        )
        return go_to(described.id)

    @router.post("/runs/{run_id}/delete")
    def delete(run_id: str) -> Response:
        queue.delete(run_id)
        return RedirectResponse("/runs", HTTPStatus.SEE_OTHER)

    return router


def _add_requests(router: APIRouter, site: Site) -> None:
    queue = site.history.queue
    requests: dict[str, Callable[[str, str | None], RunRecord]] = {
        "pause": queue.pause,
        "cancel": queue.cancel,
        "resume": lambda run_id, _: queue.resume(run_id),
    }
    for name, make in requests.items():
        _add_request(router, name, make)


def _add_request(
    router: APIRouter, name: str, make: Callable[[str, str | None], RunRecord]
) -> None:
    @router.post(f"/runs/{{run_id}}/{name}")
    def change(run_id: str, reason: Text = "") -> Response:
        return go_to(make(run_id, reason.strip() or None).id)


def _add_question(router: APIRouter, site: Site, verb: str) -> None:
    """The page that asks before what cannot be taken back, and says whose the run is."""

    @router.get(f"/runs/{{run_id}}/{verb.lower()}", dependencies=[asks()])
    def confirm(request: Request, run_id: str) -> Response:
        def make_context() -> dict[str, Any]:
            run = site.history.find_run(run_id)
            label, submitter = run.name or run.id, submitter_text(run)
            return {"run": run, "label": label, "submitter": submitter, "verb": verb}

        return site.answer(request, "confirm.html", make_context)


def _add_retry(router: APIRouter, site: Site) -> None:
    digests = Digests(site.history)

    @router.post("/runs/{run_id}/retry")
    def retry_from_form(
        request: Request,
        run_id: str,
        settings: Text = "",
        name: Text = "",
        after: Text = "",
        paused: Text = "",
        key: Text = "",
    ) -> Response:
        try:
            given = {"settings": settings, "name": name, "after": after, "paused": paused}
            return go_to(_retry(site, run_id, given | {"key": key}).id)
        except (UsageError, ModelError, StorageError) as error:
            context = run_context(site.history, digests, run_id, request.query_params)
            told = retry_form(settings, name, after, sentence=str(error))
            return site.render(request, "run.html", context | told, status_of(error))


def _retry(site: Site, run_id: str, given: dict[str, str]) -> RunRecord:
    old = site.history.find_run(run_id)
    name, after = given["name"].strip(), given["after"].strip()
    described: dict[str, Any] = {"name": name} if name else {}
    if given["paused"]:
        described["status"] = RunStatus.PAUSED
    return retry_run(
        site.history,
        old,
        after=read_whole("after", after) if after else None,
        changes=parse_changes(given["settings"]),
        key=key_of_form(given, place=old.id),
        **described,
    )


def parse_changes(text: str) -> dict[str, str]:
    """Other settings of a run, a line for each. Raises `UsageError`."""
    found = pairs(lines(text), "setting")
    return {name.replace("-", "_"): value.strip() for name, value in found.items()}


def go_to(run_id: str) -> Response:
    """Lead to the run's page, which is then loaded anew."""
    return RedirectResponse(f"/runs/{run_id}", HTTPStatus.SEE_OTHER)
