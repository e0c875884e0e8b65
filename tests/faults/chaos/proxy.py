"""A TCP proxy that can cut its connections, or keep them and carry nothing: `half-open`.

A process of its own, told what to do by lines on its input; it ends with it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.processes import ROOT

#: Bytes read at once.
CHUNK_BYTES = 2**16

#: Closing such a socket sends a reset instead of a farewell.
RESET = struct.pack("ii", 1, 0)


class ProxyProcess:
    """The proxy as its owner sees it."""

    def __init__(self, prefix: Sequence[str], host: str, port: int, server_port: int) -> None:
        """Listen at this host and port, for a server at another port of the same host."""
        places = [host, str(port), host, str(server_port)]
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "tests.faults.chaos.proxy", *places],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        if self._process.stdout is None or self._process.stdout.readline() != "ready\n":
            self.close()
            raise RuntimeError(f"The proxy at {host}:{port} does not start")

    def order(self, words: str) -> None:
        """One of `reset`, `half-open` and `heal`."""
        if self._process.stdin is not None:
            self._process.stdin.write(f"{words}\n")
            self._process.stdin.flush()

    def close(self) -> None:
        """End it, and with it all its connections."""
        self._process.kill()
        self._process.communicate()


class Proxy:
    """Carries bytes between its clients and one server."""

    def __init__(self, host: str, port: int) -> None:
        self._server = host, port
        self._carrying = asyncio.Event()
        self._carrying.set()
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter, asyncio.Event]] = set()

    async def serve(self, host: str, port: int) -> asyncio.Server:
        """Listen; clients are served from now on."""
        return await asyncio.start_server(self._client, host, port)

    def reset(self) -> None:
        """Cut every connection with a TCP reset, on both sides."""
        for near, far, _ in list(self._pairs):
            for writer in (near, far):
                _reset(writer)

    def half_open(self) -> None:
        """Carry nothing any more, over new connections neither, and close nothing."""
        self._carrying.clear()
        for _, _, alive in self._pairs:
            alive.clear()

    def heal(self) -> None:
        """New connections work again; what was half-open stays so: a router forgot it."""
        self._carrying.set()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._carrying.wait()
        try:
            far_reader, far = await asyncio.open_connection(*self._server)
        except OSError:
            _reset(writer)
            return
        alive = asyncio.Event()
        alive.set()
        pair = writer, far, alive
        self._pairs.add(pair)
        try:
            await asyncio.gather(_carry(reader, far, alive), _carry(far_reader, writer, alive))
        finally:
            self._pairs.discard(pair)
            writer.close()
            far.close()


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, alive: asyncio.Event
) -> None:
    try:
        while chunk := await reader.read(CHUNK_BYTES):
            await alive.wait()
            writer.write(chunk)
            await writer.drain()
    except OSError:
        _reset(writer)
    else:
        await alive.wait()
        writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def _main(listen_host: str, listen_port: int, host: str, port: int) -> None:
    proxy = Proxy(host, port)
    await proxy.serve(listen_host, listen_port)
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    print("ready", flush=True)
    while order := (await orders.readline()).decode().strip():
        {"reset": proxy.reset, "half-open": proxy.half_open, "heal": proxy.heal}[order]()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
