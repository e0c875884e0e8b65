"""A private Redis behind a Unix socket, for a training that has everything on one machine."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psutil
import tenacity

from tapeworks.cluster.left_overs import PREFIX, SOCKET, name_own, remove_left_overs
from tapeworks.errors import UsageError
from tapeworks.wire.errors import RedisUnreachable
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.redis_programs import find_program

#: Seconds until a Redis that was started must answer.
START_SECONDS = 10.0

#: Seconds until a Redis that was asked to end must be gone.
STOP_SECONDS = 5.0

#: Seconds between two tries to reach it.
TRY_SECONDS = 0.05

#: Seconds for which a Redis that has ended is tried to be started again; below a run's lease.
RESTART_SECONDS = 5.0

#: Bytes of a socket's path: 108 on Linux, 104 on macOS, with a zero at the end.
LONGEST_SOCKET_PATH = 103

#: Runs Redis as long as this process lives: `cat` ends when the other end of its input closes, be
#: it by `stop` or because this process was killed. The directory, $0, goes with it then. When Redis
#: ends by itself, the directory stays, so that nobody else can take its name before a new start,
#: and nobody is left who would kill whatever has its number by then.
LIFELINE = (
    'exec 3<&0; "$@" 3<&- & child=$!; '
    '{ cat <&3; : >"$0/over"; kill "$child"; } >/dev/null 2>&1 & watch=$!; '
    'wait "$child"; code=$?; '
    '[ -e "$0/over" ] || kill "$watch" 2>/dev/null; '
    '[ ! -e "$0/over" ] || rm -rf "$0"; exit "$code"'
)

#: No port: on loopback, any user of the machine could have taken it first and answer in its place.
CONFIGURATION = """\
port 0
unixsocket {socket}
unixsocketperm 600
requirepass {password}
save ""
appendonly no
maxmemory-policy noeviction
client-output-buffer-limit normal 1gb 0 0
{limits}
dir {directory}
"""

#: For a server that knows it.
CLIENTS_LIMIT = "maxmemory-clients 2gb"


class RedisServer:
    """Starts on entering, is gone with all that it held on leaving."""

    def __init__(self) -> None:
        self._directory = _private_directory()
        self._socket = Path(self._directory.name) / SOCKET
        self._password = secrets.token_hex(16)
        self.url = f"unix://:{self._password}@{quote(str(self._socket))}?db=0"
        self._process: subprocess.Popen[bytes] | None = None
        self._server: psutil.Process | None = None

    def __enter__(self) -> RedisServer:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def process_id(self) -> int | None:
        """The number of the server's own process, not of the shell around it."""
        return self._server.pid if self._server else None

    def revive(self) -> bool:
        """Start the server again, empty, at the same URL, if it has ended; whether it had.

        Raises `UsageError` when it ends again and again right after its start.
        """
        if self._process is None or self._process.poll() is None:
            return False
        again = tenacity.Retrying(
            # The machine may be too busy.
            retry=tenacity.retry_if_exception_type((UsageError, RedisUnreachable)),
            wait=tenacity.wait_fixed(TRY_SECONDS),
            stop=tenacity.stop_after_delay(RESTART_SECONDS),
            before=lambda _: self._end(),
            reraise=True,
        )
        again(self._start, RESTART_SECONDS)
        return True

    def stop(self) -> None:
        """End the server and remove its directory."""
        self._end()
        self._directory.cleanup()

    def _end(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:  # a Redis that hangs
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        if self._server is not None:  # its shell may have been killed alone
            with suppress(psutil.Error):
                self._server.kill()
                self._server.wait(STOP_SECONDS)

    def _start(self, seconds: float = START_SECONDS) -> None:
        program, directory = find_program(), self._socket.parent
        limits = CLIENTS_LIMIT if program.version.limits_clients else ""
        with _telling_of_room():
            file = self._configure(directory, limits)
        log = directory / "redis.log"
        command = [str(directory), str(program.path), str(file)]
        with log.open("wb") as output:
            self._process = process = subprocess.Popen(  # noqa: S603 - our own words, and paths as arguments
                ["/bin/sh", "-c", LIFELINE, *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._wait_until_it_answers(process, log, seconds)

    def _configure(self, directory: Path, limits: str) -> Path:
        """Write the configuration: on the command line others would see the password."""
        _empty(directory)
        name_own(directory)
        file = directory / "redis.conf"
        text = CONFIGURATION.format(
            socket=_quote(directory / SOCKET),
            password=self._password,
            directory=_quote(directory),
            limits=limits,
        )
        file.write_text(text, encoding="ascii")
        return file

    def _wait_until_it_answers(
        self, process: subprocess.Popen[bytes], log: Path, seconds: float
    ) -> None:
        exchange, deadline = Exchange(self.url), time.monotonic() + seconds
        while not self._find_server(process):
            if process.poll() is not None:
                raise UsageError(f"redis-server ended right after its start: {_last_words(log)}")
            if time.monotonic() > deadline:
                raise RedisUnreachable(f"redis-server does not listen: {_last_words(log)}")
            time.sleep(TRY_SECONDS)
        exchange.check()

    def _find_server(self, shell: subprocess.Popen[bytes]) -> bool:
        """See, before anything is said to it, that what listens is the process started here."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._socket))
            except OSError:
                return False
            children = (child for child in _children(shell) if _listens(probe, child))
            self._server = next(children, None)
        return self._server is not None


def check_private_redis() -> None:
    """Raise `UsageError` where none could be started, before anything is done that needs it."""
    find_program()
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
def temporary_directory(files: Mapping[str, bytes]) -> Iterator[Path]:
    """A directory with these files, by name, that only this user may enter.

    Raises `UsageError` as `temporary_file` does.
    """
    with ExitStack() as stack:
        with _telling_of_room():
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="tapeworks-"))
            for name, content in files.items():
                (Path(place) / name).write_bytes(content)
        yield Path(place)


@contextmanager
def _telling_of_room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"A cluster on this machine needs temporary files: {error.strerror}. Name a directory "
            "that can be written to with TMPDIR, or use --workers 0."
        ) from error


def _children(shell: subprocess.Popen[bytes]) -> Iterator[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        yield from psutil.Process(shell.pid).children()


def _listens(connection: socket.socket, process: psutil.Process) -> bool:
    """Report whether this process has bound the socket at the other end.

    Only Linux says so; elsewhere the directory alone keeps others away, and the name has to do.
    """
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        with suppress(psutil.Error):  # it has just ended
            return process.name().endswith("-server")
        return False
    peer = connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
    return bool(struct.unpack("3i", peer)[0] == process.pid)


def _private_directory() -> tempfile.TemporaryDirectory[str]:
    """Make a directory that only this user may enter, short enough for the path of a socket."""
    with _telling_of_room():
        usual = tempfile.gettempdir()
    bases = [usual, os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp"]  # noqa: S108
    for base in filter(None, bases):
        with suppress(OSError):
            made = tempfile.TemporaryDirectory(
                prefix=PREFIX,
                dir=base,
                ignore_cleanup_errors=True,  # what was computed with it has not failed
            )
            if _has_room(Path(made.name) / SOCKET):
                remove_left_overs(Path(base))
                return made
            made.cleanup()
    raise UsageError(
        f"Expected a directory for a socket whose path has at most {LONGEST_SOCKET_PATH} bytes. "
        f"Received: {', '.join(filter(None, bases))}. Name another one with TMPDIR."
    )


def _empty(directory: Path) -> None:
    """Have it there, with nothing in it, and nobody else's. Raises `UsageError`."""
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if found.st_uid != os.geteuid() or found.st_mode != stat.S_IFDIR | 0o700:
        raise UsageError(f"Expected a directory of this user alone at {directory}.")
    for left_over in directory.iterdir():
        left_over.unlink()


def _has_room(path: Path) -> bool:
    """Report whether a socket may have this path, and a URL may carry it."""
    name = os.fsencode(path)
    is_text = name.decode(errors="replace").encode() == name
    return path.is_absolute() and is_text and len(name) <= LONGEST_SOCKET_PATH


def _quote(path: Path) -> str:
    """A path in the configuration, whatever is in it."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in os.fsencode(path)) + '"'


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return lines[-1] if lines else "it said nothing."
