"""TLS in front of a server of this machine that has none: the servers of the wheels are built so.

In a process of its own, which ends with its input: `python -m tests.support.tls_front …`.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

from tests.support.processes import ROOT

#: Bytes that are read at once.
CHUNK_BYTES = 2**16

#: What a PostgreSQL client sends first when it wants TLS, and the answer that it may begin.
SSL_REQUEST, GRANTED = bytes.fromhex("0000000804d2162f"), b"S"

#: What a PostgreSQL server says to clients without TLS when its pg_hba.conf has `hostssl` only.
NO_ENTRY = b"SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry for this host, no encryption\0\0"


@contextmanager
def tls_front(server_port: int, certificate: Path, protocol: str = "redis") -> Iterator[int]:
    """The port of 127.0.0.1 at which this certificate is shown, in front of the server's.

    The file holds the certificate and its key.
    """
    command = [sys.executable, "-m", __name__, protocol, str(server_port), str(certificate)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def pem(certificate: trustme.LeafCert, directory: Path, name: str) -> Path:
    """A file with the certificate and its key."""
    path = directory / f"{name}.server.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    except OSError:  # the other end is gone
        pass
    finally:
        writer.close()


async def _grants(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether this client of PostgreSQL wants TLS; then it is told to begin."""
    wants = await reader.readexactly(len(SSL_REQUEST)) == SSL_REQUEST
    writer.write(GRANTED if wants else b"E" + (len(NO_ENTRY) + 4).to_bytes(4, "big") + NO_ENTRY)
    if not wants:
        writer.close()
    return wants


async def _serve(protocol: str, server_port: int, pem: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)

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

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
