"""A Redis that keeps nothing and comes back under the same address: with another run id."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import redis

from tapeworks.wire.redis_programs import executable
from tests.faults.chaos.network import free_port

#: Seconds until a Redis that was started must answer.
START_SECONDS = 10.0
TRY_SECONDS = 0.02

CONFIGURATION = """\
bind {bind}
port {port}
unixsocket "{socket}"
requirepass {password}
save ""
appendonly no
maxmemory-policy noeviction
dir "{directory}"
"""


class RedisProcess:
    """The server, and a way to reach it that no fault disturbs."""

    def __init__(self, directory: Path, bind: str, prefix: Sequence[str]) -> None:
        """`prefix` stands before the command, to start it in another place."""
        self.port, self.password = free_port(), secrets.token_hex(16)
        socket, file = directory / "redis.sock", directory / "redis.conf"
        file.touch(mode=0o600)
        file.write_text(
            CONFIGURATION.format(
                bind=bind,
                port=self.port,
                socket=socket,
                password=self.password,
                directory=directory,
            ),
            encoding="utf-8",
        )
        self._command = [*prefix, str(executable()), str(file)]
        self._log = (directory / "redis.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None
        self._client = redis.Redis(
            unix_socket_path=str(socket), password=self.password, socket_timeout=2
        )

    @property
    def pid(self) -> int | None:
        """Its process, while that lives."""
        return self._process.pid if self._process else None

    def url(self, host: str, port: int | None = None) -> str:
        """Its URL as seen from somewhere."""
        return f"redis://:{self.password}@{host}:{port or self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._client.ping()
                return
            except redis.RedisError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(TRY_SECONDS)

    def kill(self) -> None:
        """SIGKILL, with all that it held."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def flush(self) -> None:
        """Take everything that it holds away, and leave its connections."""
        self._client.flushall()

    def close(self) -> None:
        """Nothing is left of it."""
        self.kill()
        self._client.close()
        self._log.close()
