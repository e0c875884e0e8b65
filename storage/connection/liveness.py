"""Connections to PostgreSQL that are given up when the server falls silent.

A frozen server keeps its connections: its kernel answers for it, and keepalives find nothing wrong.
So a long silence is looked into with a connection of its own, which a server that is only busy
answers. Import this module where PostgreSQL is used: it loads the driver.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import psycopg
import sqlalchemy
from psycopg import errors
from psycopg.abc import PQGen
from sqlalchemy import Engine, event

#: Seconds of silence after which the server is asked whether it still answers, each time again.
ASK_SECONDS = 6.0

#: Seconds in which it has to let another connection in, and then to answer it.
REPLY_SECONDS = 3

#: Seconds that a server may be silent on one statement although it answers others: longer than it
#: may work on one (`STATEMENT_TIMEOUT_MS`). Then the process behind the connection is stuck.
LONGEST_SILENCE_SECONDS = 28.0

_Result = TypeVar("_Result")


class ServerSilent(psycopg.OperationalError):
    """The server does not answer, although nothing has closed the connection."""


class WatchedConnection(psycopg.Connection[Any]):
    """Waits for the server while that is alive; else closes itself and raises `ServerSilent`."""

    #: Whether the server answers others; without it a silence is not looked into.
    is_served: Callable[[], bool] = staticmethod(lambda: False)

    #: How long a statement may take; None: as long as the server is alive.
    limit_seconds: float | None = None

    def wait(self, gen: PQGen[_Result], *arguments: Any, **named: Any) -> _Result:
        """Wait as the driver does, which calls this for everything but connecting."""
        return super().wait(self._watch(gen), *arguments, **named)

    def _watch(self, gen: PQGen[_Result]) -> PQGen[_Result]:
        heard_at = asked_at = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard_at = asked_at = time.monotonic()
                elif self._is_overdue(time.monotonic() - heard_at):
                    self._give_up()
                elif time.monotonic() - asked_at > ASK_SECONDS:
                    if not self.is_served():
                        self._give_up()
                    asked_at = time.monotonic()
                wanted = gen.send(ready)
        except StopIteration as end:
            result: _Result = end.value
            return result

    def _is_overdue(self, silence: float) -> bool:
        return self.limit_seconds is not None and silence > self.limit_seconds

    def _give_up(self) -> NoReturn:
        self.pgconn.finish()
        raise ServerSilent("the server has stopped answering, but has not closed the connection")


def watch(engine: Engine, limit_seconds: float | None) -> None:
    """Have all of the engine's connections watched, each statement limited to so long a silence."""

    def connect(_dialect: object, _record: object, where: list[Any], how: dict[str, Any]) -> Any:
        connection = WatchedConnection.connect(*where, **how)
        connection.is_served = lambda: _answers(where, how)
        connection.limit_seconds = limit_seconds
        return connection

    event.listen(engine, "do_connect", connect)


@contextmanager
def allowing(connection: sqlalchemy.Connection, seconds: float | None) -> Iterator[None]:
    """Let statements take so long meanwhile; None: as long as the server is alive."""
    watched = connection.connection.driver_connection
    if not isinstance(watched, WatchedConnection):
        raise TypeError(f"Expected a watched connection. Received: {watched!r}")
    before, watched.limit_seconds = watched.limit_seconds, seconds
    try:
        yield
    finally:
        watched.limit_seconds = before


def _answers(where: list[Any], how: dict[str, Any]) -> bool:
    """Return whether a new connection is answered; that there is no room for one is an answer."""
    try:
        with WatchedConnection.connect(*where, **how | {"connect_timeout": REPLY_SECONDS}) as one:
            one.execute("SELECT 1")
    except (errors.ConnectionTimeout, ServerSilent):
        return False
    except psycopg.Error:
        return True
    return True
