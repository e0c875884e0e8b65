"""The web page's process: its socket, its server, and an orderly end."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from tapeworks.errors import UsageError

#: Seconds that requests have to end in, once the server is to stop; afterwards they get a 503.
GRACE_SECONDS = 5

#: Requests at a time; more are refused at once, with 503.
MOST_REQUESTS = 200


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; port 0 is any that is free. Raises `UsageError`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise _cannot_listen(host, port, str(reason)) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, error.strerror or str(error)) from error
    return listener


def is_loopback(listener: socket.socket) -> bool:
    """Check that only this machine reaches the socket."""
    return _ip(listener).is_loopback


def is_everywhere(listener: socket.socket) -> bool:
    """Check that the socket takes what is sent to any address of this machine."""
    return _ip(listener).is_unspecified


def serve(app: FastAPI, listener: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM; a second one does not wait for requests in progress.

    The threads that answer are daemons, as is the one that starts them: none that waits for a
    database keeps the process. A transaction that ends with it has changed nothing.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="critical",  # the gate logs our own errors
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        limit_concurrency=MOST_REQUESTS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config)
    with _interruptible(server):
        thread = threading.Thread(target=_run, args=[server, listener], daemon=True)
        thread.start()
        thread.join()


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    asyncio.run(server.serve(sockets=[listener]))


class _Server(uvicorn.Server):
    """Leaves signals to us, and ends in order also when it does not wait for requests."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self.force_exit:
            for task in self.server_state.tasks:
                task.cancel()
            await self.lifespan.shutdown()


@contextmanager
def _interruptible(server: uvicorn.Server) -> Iterator[None]:
    def handle(_: int, __: FrameType | None) -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _ip(listener: socket.socket) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0])


def _cannot_listen(host: str, port: int, reason: str) -> UsageError:
    return UsageError(
        f"The web page cannot be served at {host} port {port}: {reason}. "
        "Name another place with --host and --port"
    )
