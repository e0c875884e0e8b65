"""TLS before a server that has none: `python tls_proxy.py PORT SERVER_PORT CERTIFICATE KEY`."""

from __future__ import annotations

import asyncio
import ssl
import sys

#: Bytes read at once.
CHUNK_BYTES = 2**16


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _serve(port: int, server_port: int, certificate: str, key: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", server_port)
        carried = (_carry(reader, back), _carry(there, writer))
        await asyncio.gather(*carried, return_exceptions=True)  # either end may just be gone

    server = await asyncio.start_server(client, None, port, ssl=context)
    await server.serve_forever()


if __name__ == "__main__":
    port, server_port, *files = sys.argv[1:]
    asyncio.run(_serve(int(port), int(server_port), *files))
