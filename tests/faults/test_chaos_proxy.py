"""The drill's TCP proxy as a process: it carries, cuts, and leaves connections half-open."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.faults.chaos.network import LOOPBACK, free_port
from tests.faults.chaos.proxy import ProxyProcess
from tests.support.waiting import DEADLINE_SECONDS, until

pytestmark = pytest.mark.slow

#: Seconds in which bytes on loopback surely arrive; waited for only where none should.
SILENCE_SECONDS = 0.5


class Echo(socketserver.BaseRequestHandler):
    """Says everything back."""

    def handle(self) -> None:
        with suppress(ConnectionError):  # cut off, as these tests do
            while words := self.request.recv(100):
                self.request.sendall(words)


@pytest.fixture
def proxy() -> Iterator[tuple[ProxyProcess, int]]:
    """A proxy before such a server, and the port where it listens."""
    with socketserver.ThreadingTCPServer((LOOPBACK, 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = free_port()
        running = ProxyProcess([], LOOPBACK, port, server.server_address[1])
        yield running, port
        running.close()
        server.shutdown()


def echoes(connection: socket.socket, seconds: float = DEADLINE_SECONDS) -> bool:
    """Return whether words come back."""
    connection.sendall(b"words")
    return hears(connection, seconds)


def hears(connection: socket.socket, seconds: float = DEADLINE_SECONDS) -> bool:
    """Return whether the words come."""
    connection.settimeout(seconds)
    try:
        return connection.recv(5, socket.MSG_WAITALL) == b"words"
    except TimeoutError:
        return False


def is_reset(connection: socket.socket) -> bool:
    connection.settimeout(DEADLINE_SECONDS)
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    return True


def test_it_resets_its_connections_and_takes_new_ones(proxy: tuple[ProxyProcess, int]) -> None:
    running, port = proxy
    with socket.create_connection((LOOPBACK, port)) as connection:
        assert echoes(connection)
        running.order("reset")
        assert is_reset(connection)
    with socket.create_connection((LOOPBACK, port)) as again:
        assert echoes(again)


def test_half_open_it_carries_nothing_and_closes_nothing(proxy: tuple[ProxyProcess, int]) -> None:
    running, port = proxy
    with (
        socket.create_connection((LOOPBACK, port)) as old,
        socket.create_connection((LOOPBACK, port)) as new,
    ):
        assert echoes(old)
        running.order("half-open")
        until(lambda: not echoes(old, SILENCE_SECONDS), "the proxy has heard the order")
        with socket.create_connection((LOOPBACK, port)) as later:
            assert not echoes(later, SILENCE_SECONDS)

            running.order("heal")
            assert hears(later)  # it had only to wait
            assert not echoes(old, SILENCE_SECONDS)  # this one is forgotten for good
        assert not echoes(new, SILENCE_SECONDS)  # and so is what was open and silent
