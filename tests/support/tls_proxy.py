"""TLS before a server that has none: `python tls_proxy.py PROTOCOL HOST PORT SERVER_PORT FILE …`.

The files are a certificate and its key, or one with both. Ends with its input; says its port.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from contextlib import closing, suppress

#: Bytes that are read at once.
CHUNK_BYTES = 2**16

#: What a PostgreSQL client sends first when it wants TLS, and the answer that it may begin.
SSL_REQUEST, GRANTED = bytes.fromhex("0000000804d2162f"), b"S"

#: What a PostgreSQL server says to clients without TLS when its pg_hba.conf has `hostssl` only.
NO_ENTRY = b"SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry for this host, no encryption\0\0"


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with closing(writer), suppress(OSError):  # the other end may be gone
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()


async def _grants(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Return whether this client of PostgreSQL wants TLS; then it is told to begin."""
    wants = await reader.readexactly(len(SSL_REQUEST)) == SSL_REQUEST
    writer.write(GRANTED if wants else b"E" + (len(NO_ENTRY) + 4).to_bytes(4, "big") + NO_ENTRY)
    if not wants:
        writer.close()
    return wants


async def _serve(protocol: str, host: str, port: int, server_port: int, *files: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if protocol == "postgresql" and not await _grants(reader, writer):
            return
        try:
            await writer.start_tls(context)
        except OSError:  # the client refuses the certificate, or speaks no TLS
            writer.close()
            return
        there, back = await asyncio.open_connection("127.0.0.1", server_port)
        await asyncio.gather(_carry(reader, back), _carry(there, writer))

    server = await asyncio.start_server(client, host, port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    protocol, host, port, server_port, *files = sys.argv[1:]
    asyncio.run(_serve(protocol, host, int(port), int(server_port), *files))
