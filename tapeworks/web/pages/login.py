"""Log in with the token, once for each browser."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tapeworks.web.security import is_known, is_same, session_of
from tapeworks.web.site import Site

WRONG = "This is not the token. It is in the file of --token-file, or in the link that was printed."


def make_router(site: Site) -> APIRouter:
    """Routes to log in and out."""
    router, options = APIRouter(), site.options

    @router.get("/login")
    def show_login(request: Request, next: str = "/") -> Response:  # noqa: A002 - a name in URLs
        if is_known(request, options):
            return _go_to(f"{_own_path(next)}#")  # else a browser keeps `#token=…`
        return site.render(request, "login.html", {"next": _own_path(next), "sentence": None})

    @router.post("/login")
    async def log_in(request: Request) -> Response:
        form = await request.form()
        given, wanted = str(form.get("token", "")), _own_path(str(form.get("next", "/")))
        if options.token is None:
            return _go_to(wanted)
        if not is_same(given.strip(), options.token):
            context = {"next": wanted, "sentence": WRONG}
            return site.render(request, "login.html", context, HTTPStatus.UNAUTHORIZED)
        response = _go_to(wanted)
        response.set_cookie(
            options.cookie, session_of(options.token), httponly=True, samesite="strict"
        )
        return response

    @router.post("/logout")
    def log_out() -> Response:
        response = _go_to("/login")
        response.delete_cookie(options.cookie, httponly=True, samesite="strict")
        return response

    return router


def _go_to(path: str) -> Response:
    return RedirectResponse(path, HTTPStatus.SEE_OTHER)


def _own_path(wanted: str) -> str:
    """The path if it is of this page: to a browser `//host` and `/\\host` are other sites."""
    is_own = wanted.startswith("/") and wanted[1:2] not in {"/", "\\"} and wanted.isprintable()
    return wanted if is_own else "/"
