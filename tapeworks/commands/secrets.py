"""`tapeworks secrets`: passwords, a signing key, and Redis' users with the rights they need."""

from __future__ import annotations

from pathlib import Path

import click

from tapeworks.errors import ExitCode
from tapeworks.output import put, say
from tapeworks.paths import PathType
from tapeworks.secret_files import ACL_FILE, make


@click.command("secrets", epilog="Example: tapeworks secrets secrets")
@click.argument("directory", type=PathType())
def command(directory: Path) -> int:
    """Make the secrets of a deployment in DIRECTORY, and the file of its Redis users.

    A secret that is there is kept: to replace one, delete its file and call this again; of the
    database's password PostgreSQL has to be told (SECURITY.md). The users' file, redis_users.acl,
    is made anew each time, with hashes of the passwords; it needs Redis 7 or newer. Prints the
    files that were written.
    """
    for path in make(directory):
        put(str(path))
    say(
        f"Start Redis with --aclfile {directory / ACL_FILE}, or restart it if it runs with it. "
        "Name a password to Tapeworks with TAPEWORKS_REDIS_PASSWORD_FILE or "
        "TAPEWORKS_DATABASE_PASSWORD_FILE, and restart what had an older one."
    )
    return ExitCode.DONE
