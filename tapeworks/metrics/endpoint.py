"""The place where Prometheus fetches what a process has counted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from importlib.metadata import version
from typing import Generic, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Info,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

from tapeworks.errors import UsageError
from tapeworks.scheduler import background

#: Seconds that a scrape waits for one place; Prometheus gives up a scrape after ten.
LOOK_SECONDS = 2.0

_Found = TypeVar("_Found")


class BoundedLook(Generic[_Found]):
    """Calls `look` with a time limit; None when it raises `away`, or takes too long.

    One that takes too long goes on in its thread, and the next scrape waits for the same one: there
    is never a second.
    """

    def __init__(self, look: Callable[[], _Found], away: type[Exception]) -> None:
        self._look, self._away = look, away
        self._lock = threading.Lock()
        self._pending: Future[_Found] | None = None

    def __call__(self) -> _Found | None:
        with self._lock:
            pending = self._pending = self._pending or background.start(self._look, "metrics")
        if not wait([pending], LOOK_SECONDS).done:
            return None
        with self._lock:
            if self._pending is pending:
                self._pending = None
        try:
            return pending.result()
        except self._away:
            return None


@contextmanager
def serving(host: str, port: int) -> Iterator[CollectorRegistry]:
    """Serve what is registered until the end. Raises `UsageError` where nothing can be served."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    build = Info("tapeworks_build", "Version of Tapeworks", registry=registry)
    build.info({"version": version("tapeworks")})
    ProcessCollector(namespace="tapeworks", registry=registry)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise UsageError(
            f"Metrics cannot be served at {host} port {port}: {error.strerror or error}. "
            "Name another place with --metrics-port and --metrics-host."
        ) from error
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
