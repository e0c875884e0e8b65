"""TLS in front of a server of this machine that has none, as those of the wheels are built."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

from tests.support import tls_proxy


@contextmanager
def tls_front(server_port: int, certificate: Path, protocol: str = "redis") -> Iterator[int]:
    """The port of 127.0.0.1 at which this certificate is shown, in front of the server's.

    The file holds the certificate and its key.
    """
    where = [protocol, "127.0.0.1", "0", str(server_port), str(certificate)]
    command = [sys.executable, tls_proxy.__file__, *where]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
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
