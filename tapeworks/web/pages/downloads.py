"""A run's history and parameters as files."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from tapeworks.cli.choices import Choice
from tapeworks.cli.given import read_whole
from tapeworks.exporting.contents import export_content
from tapeworks.exporting.forms import Form
from tapeworks.web.asked import asks
from tapeworks.web.site import Site

#: The media type of each form.
FORMS = {
    Form.CSV: "text/csv; charset=utf-8",
    Form.JSON: "application/json",
    Form.PARQUET: "application/vnd.apache.parquet",
    Form.SAFETENSORS: "application/octet-stream",
}


def make_router(site: Site) -> APIRouter:
    """Routes to the files."""
    router = APIRouter()
    for form in FORMS:
        _add(router, site, form)
    return router


def _add(router: APIRouter, site: Site, form: Form) -> None:
    names = ("after",) if form is Form.SAFETENSORS else ()

    @router.get(f"/runs/{{run_id}}/download.{form.value}", dependencies=[asks(*names)])
    def download(request: Request, run_id: str) -> Response:
        after = request.query_params.get("after")
        chosen = read_whole("after", after) if after else None
        run = site.history.find_run(run_id)
        choice = Choice(after=chosen, metric=None)
        content = export_content(site.history, [run], form, choice)
        suffix = "" if chosen is None else f"-after-{chosen}"
        name = f"{run.id}{suffix}.{form.value}"
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(content, headers=headers, media_type=FORMS[form])
