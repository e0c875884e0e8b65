"""A TCP proxy that holds every byte back: `python -m benchmarks.pacing.delay SERVER_PORT SECONDS`.

It listens at a free port of loopback, which it prints, and ends with its input. Each direction of
a connection has two threads: one reads, one waits until what was read is due and passes it on. So
much may be under way at a time, as on a long line.
"""

from __future__ import annotations

import queue
import socket
import sys
import threading
import time
from contextlib import suppress

LOOPBACK = "127.0.0.1"

#: Bytes read at once.
CHUNK_BYTES = 2**18

#: When something is due, and what; nothing at the end.
_Held = queue.SimpleQueue[tuple[float, bytes]]


def main(server_port: str, seconds: str) -> None:
    """Serve every client that comes, until the input ends."""
    listening = socket.create_server((LOOPBACK, 0))
    print(listening.getsockname()[1], flush=True)
    server = LOOPBACK, int(server_port)
    _start(_serve, listening, server, float(seconds))
    sys.stdin.read()


def _serve(listening: socket.socket, server: tuple[str, int], seconds: float) -> None:
    while True:
        near, _ = listening.accept()
        far = socket.create_connection(server)
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, target in ((near, far), (far, near)):
            held: _Held = queue.SimpleQueue()
            _start(_read, source, held, seconds)
            _start(_pass_on, held, target)


def _read(source: socket.socket, held: _Held, seconds: float) -> None:
    chunk = b"-"
    while chunk:
        chunk = b""
        with suppress(OSError):
            chunk = source.recv(CHUNK_BYTES)
        held.put((time.monotonic() + seconds, chunk))


def _pass_on(held: _Held, target: socket.socket) -> None:
    with suppress(OSError):
        while True:
            due, chunk = held.get()
            time.sleep(max(0.0, due - time.monotonic()))
            if not chunk:
                target.shutdown(socket.SHUT_WR)
                return
            target.sendall(chunk)


def _start(function: object, *arguments: object) -> None:
    threading.Thread(target=function, args=arguments, daemon=True).start()  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])
