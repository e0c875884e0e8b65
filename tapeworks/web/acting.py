"""The user for whom a request over HTTP changes something."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from tapeworks.storage.actors import Actor, acting, clean_name, own_actor

#: The header in which a client tells its user's name.
USER_HEADER = "tapeworks-user"


class Acting:
    """Notes changes as those of this process's user, or of the one that the client tells."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with acting(actor_of(Headers(scope=scope))):
            await self._app(scope, receive, send)


def actor_of(headers: Headers) -> Actor:
    """Return the user; the host says by which way the name came."""
    own = own_actor()
    told = clean_name(headers.get(USER_HEADER, ""))
    if told:
        return Actor(told, f"{own.host} (web, told by the client)")
    return Actor(own.user, f"{own.host} (web)")
