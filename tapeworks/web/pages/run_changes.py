"""The forms of a run's page: each changes one thing and leads back to the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from tapeworks.cli.descriptions import pairs
from tapeworks.cli.given import read_priority, read_whole
from tapeworks.cli.outputs.describe import submitter_text
from tapeworks.errors import UsageError
from tapeworks.model.errors import ModelError
from tapeworks.storage.errors import StateConflict, StorageError, StorageUnreachable
from tapeworks.storage.records import RunRecord, RunStatus
from tapeworks.web.asked import asks
from tapeworks.web.pages.run import Digests, refuse, run_context
from tapeworks.web.pages.run_form import lines
from tapeworks.web.problems import status_of
from tapeworks.web.site import Site
from tapeworks.web.submitting import key_of_form, retry_run

#: A field of a form, which may be left empty.
Text = Annotated[str, Form()]

#: Forms that may be sent again where nobody knows whether they were carried out.
IDEMPOTENT = {"retry", "describe"}


@dataclass(frozen=True, slots=True)
class Forms:
    """Carries out a run's forms, and shows a refused one with what was typed into it."""

    site: Site
    digests: Digests

    def carry_out(
        self,
        request: Request,
        run_id: str,
        form: str,
        typed: Mapping[str, str],
        change: Callable[[], RunRecord],
    ) -> Response:
        """Lead to the changed run, or show why it was not changed."""
        try:
            return go_to(change().id)
        except (UsageError, ModelError, StorageError) as error:
            if isinstance(error, StorageUnreachable) and form not in IDEMPOTENT:
                raise
            return self._refuse(request, run_id, form, typed, error)

    def _refuse(
        self, request: Request, run_id: str, form: str, typed: Mapping[str, str], error: Exception
    ) -> Response:
        history, sentence = self.site.history, str(error)
        if form == "cancel" and not isinstance(error, StateConflict):
            template = "confirm.html"
            context = question_context(self.site, run_id, "Cancel", sentence, **typed)
        else:
            template = "run.html"
            shown = run_context(history, self.digests, run_id, request.query_params)
            context = refuse(shown, form, typed, sentence)
        return self.site.render(request, template, context, status_of(error))


def make_router(site: Site) -> APIRouter:
    """Routes that change a run."""
    router, queue = APIRouter(), site.history.queue
    forms = Forms(site, Digests(site.history))
    _add_requests(router, forms)
    _add_retry(router, forms)
    for verb in ("Cancel", "Delete"):
        _add_question(router, site, verb)

    @router.post("/runs/{run_id}/priority")
    def set_priority(request: Request, run_id: str, priority: Text = "") -> Response:
        return forms.carry_out(
            request,
            run_id,
            "priority",
            {"priority": priority},
            lambda: queue.set_priority(run_id, read_priority("priority", priority)),
        )

    @router.post("/runs/{run_id}/describe")
    def describe(
        request: Request, run_id: str, name: Text = "", note: Text = "", tags: Text = ""
    ) -> Response:
        def change() -> RunRecord:
            return queue.describe(
                run_id,
                name=name.strip() or None,
                note=note.strip() or None,
                tags=pairs(lines(tags), "tag"),
            )

        typed = {"name": name, "note": note, "tags": tags}
        return forms.carry_out(request, run_id, "describe", typed, change)

    @router.post("/runs/{run_id}/delete")
    def delete(run_id: str) -> Response:
        queue.delete(run_id)
        return RedirectResponse("/runs", HTTPStatus.SEE_OTHER)

    return router


def _add_requests(router: APIRouter, forms: Forms) -> None:
    queue = forms.site.history.queue
    requests: dict[str, Callable[[str, str | None], RunRecord]] = {
        "pause": queue.pause,
        "cancel": queue.cancel,
        "resume": lambda run_id, _: queue.resume(run_id),
    }
    for name, make in requests.items():
        _add_request(router, forms, name, make)


def _add_request(
    router: APIRouter, forms: Forms, name: str, make: Callable[[str, str | None], RunRecord]
) -> None:
    @router.post(f"/runs/{{run_id}}/{name}")
    def change(request: Request, run_id: str, reason: Text = "") -> Response:
        return forms.carry_out(
            request,
            run_id,
            name,
            {"reason": reason},
            lambda: make(run_id, reason.strip() or None),
        )


def _add_question(router: APIRouter, site: Site, verb: str) -> None:
    """The page that asks before what cannot be taken back, and says whose the run is."""

    @router.get(f"/runs/{{run_id}}/{verb.lower()}", dependencies=[asks()])
    def confirm(request: Request, run_id: str) -> Response:
        return site.answer(request, "confirm.html", lambda: question_context(site, run_id, verb))


def question_context(
    site: Site, run_id: str, verb: str, sentence: str | None = None, reason: str = ""
) -> dict[str, Any]:
    """The values of that page, with the reason that was typed and what was wrong with it."""
    run = site.history.find_run(run_id)
    label, submitter = run.name or run.id, submitter_text(run)
    shown = {"run": run, "label": label, "submitter": submitter, "verb": verb}
    return shown | {"sentence": sentence, "reason": reason}


def _add_retry(router: APIRouter, forms: Forms) -> None:
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
        typed = {"settings": settings, "name": name, "after": after, "paused": paused}
        given = typed | {"key": key}
        return forms.carry_out(
            request, run_id, "retry", typed, lambda: _retry(forms.site, run_id, given)
        )


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
