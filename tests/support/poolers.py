"""Poolers before a PostgreSQL: a real PgBouncer, and a stand-in that refuses what one refuses."""

from __future__ import annotations

import os
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

import psycopg
import pytest
from sqlalchemy import make_url

from tests.support.postgres import UNPRIVILEGED, free_port, unprivileged
from tests.support.waiting import DEADLINE_SECONDS, until

#: What PgBouncer takes of a client that connects, unless it is told to ignore more.
ALLOWED = {"user", "database", "client_encoding", "datestyle", "timezone"}
ALLOWED |= {"standard_conforming_strings", "application_name"}

#: The lengths and codes of the requests for encryption that come before a start-up message.
ENCRYPTION_REQUESTS = {80877103, 80877104}


class _Refusing(socketserver.ThreadingTCPServer):
    daemon_threads = True
    server_port: int  #: of the PostgreSQL behind it


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        message = self._start_up()
        names = message[8:].split(b"\0")[::2]
        refused = [name.decode() for name in names if name and name.decode().lower() not in ALLOWED]
        if refused:
            words = f"SFATAL\0C08P01\0Munsupported startup parameter: {refused[0]}\0\0".encode()
            self.request.sendall(b"E" + (len(words) + 4).to_bytes(4, "big") + words)
            return
        port = cast(_Refusing, self.server).server_port
        with socket.create_connection(("127.0.0.1", port)) as server:
            server.sendall(message)
            back = threading.Thread(target=_carry, args=(server, self.request))
            back.start()
            _carry(self.request, server)
            back.join()

    def _start_up(self) -> bytes:
        while True:
            length = self.request.recv(4, socket.MSG_WAITALL)
            message = length + self.request.recv(
                int.from_bytes(length, "big") - 4, socket.MSG_WAITALL
            )
            if int.from_bytes(message[4:8], "big") not in ENCRYPTION_REQUESTS:
                return bytes(message)
            self.request.sendall(b"N")


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # the other end may be gone
        while data := source.recv(2**16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def refusing_pooler(url: str) -> Iterator[str]:
    """The same database behind a server that refuses start-up parameters as PgBouncer does."""
    address = make_url(url)
    with _Refusing(("127.0.0.1", 0), _Handler) as pooler:
        pooler.server_port = address.port or 5432
        thread = threading.Thread(target=pooler.serve_forever, args=(0.01,))
        thread.start()
        behind = address.set(port=pooler.server_address[1])
        yield behind.render_as_string(hide_password=False)
        pooler.shutdown()
        thread.join()


@contextmanager
def pgbouncer(url: str, mode: str) -> Iterator[str]:
    """The same database behind a PgBouncer that has two connections to it."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("There is no PgBouncer; on Debian: apt-get install pgbouncer")
    address, port = make_url(url), free_port()
    directory = Path(tempfile.mkdtemp(prefix="tapeworks-pgbouncer-"))
    file = directory / "pgbouncer.ini"
    file.write_text(
        f"[databases]\n* = host=127.0.0.1 port={address.port} user={address.username}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = any\npool_mode = {mode}\ndefault_pool_size = 2\n"
    )
    if os.geteuid() == 0:
        shutil.chown(directory, UNPRIVILEGED)
    process = subprocess.Popen(
        [program, str(file)], stderr=subprocess.DEVNULL, cwd=directory, **unprivileged()
    )
    behind = address.set(port=port).render_as_string(hide_password=False)

    def answers() -> bool:
        with suppress(psycopg.OperationalError):
            psycopg.connect(behind).close()
            return True
        return False

    try:
        until(answers, "PgBouncer answers")
        yield behind
    finally:
        process.kill()
        process.wait(DEADLINE_SECONDS)
        shutil.rmtree(directory)
