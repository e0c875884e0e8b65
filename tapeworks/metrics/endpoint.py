"""The place where Prometheus fetches what a process has counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Info,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

from tapeworks.errors import UsageError


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
