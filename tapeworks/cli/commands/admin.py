"""`tapeworks db`, `gc` and `secrets`: the upkeep of a history and of a deployment."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click

from tapeworks.cli.choices import Moment
from tapeworks.cli.connection import describe_new, open_history
from tapeworks.cli.option_kinds import PathType
from tapeworks.cli.outputs.delivery import deliver_file
from tapeworks.cli.outputs.describe import as_json, size
from tapeworks.cli.outputs.files import check_writable, put_path, write_whole
from tapeworks.cli.outputs.printing import put, put_table, say
from tapeworks.errors import ExitCode, UsageError
from tapeworks.storage.connection.sqlite_access import is_missing
from tapeworks.storage.maintenance import Pruned, prune, table_sizes
from tapeworks.storage.migrations import REVISION
from tapeworks.storage.networks import prune_networks
from tapeworks.storage.records import Metric
from tapeworks.wire.acl import ROLES, acl_file
from tapeworks.wire.addresses import password_in

#: Bytes of the operating system's random source in a secret, which is written in twice as many
#: hexadecimal digits: no program needs them quoted.
SECRET_BYTES = 32

#: Everybody may read a file, for a container's user has another number than its owner; the
#: directory keeps the other users of this machine out.
FILE_MODE, DIRECTORY_MODE = 0o444, 0o700

PASSWORDS = {user: f"redis_{user}_password" for user in ROLES}
OTHERS = (
    "database_password",
    "database_reader_password",
    "database_superuser_password",
    "signing_key",
    "web_token",
)
ACL_FILE = "redis_users.acl"

HEADERS = ("RUN", "NAME", "CHECKPOINTS", "SIZE")


def make(directory: Path) -> list[Path]:
    """Make the missing secrets, and the users' file again; return the files that were written.

    A secret that is there is kept. Raises `UsageError`, `PasswordUnusable`.
    """
    with _explain_errors(directory):
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        _check_access(directory)
        missing = [directory / name for name in (*PASSWORDS.values(), *OTHERS)]
        missing = [path for path in missing if not path.exists() and not path.is_symlink()]
        for path in missing:
            _write(path, secrets.token_hex(SECRET_BYTES) + "\n", replaces=False)
        users = directory / ACL_FILE
        content = acl_file(
            {user: password_in(directory / file) for user, file in PASSWORDS.items()}
        )
        _write(Path(os.path.realpath(users)), content, replaces=True)
    return [*missing, users]


def _check_access(directory: Path) -> None:
    """Refuse a directory that others may enter or own; their rights are not taken unasked."""
    owner = directory.stat().st_uid
    if owner != os.geteuid():
        raise UsageError(
            f"Expected a directory of your own: its owner could read and replace every secret. "
            f"Received: {directory} of the user with number {owner}, where you are "
            f"{os.geteuid()}. Name one that does not exist yet, or call this as its owner."
        )
    mode = stat.S_IMODE(directory.stat().st_mode)
    if mode & ~DIRECTORY_MODE:
        raise UsageError(
            f"Expected a directory that only its owner may enter. Received: {directory} with "
            f"mode {mode:o}. Name one that does not exist yet, or run: chmod 700 {directory}"
        )


@contextmanager
def _explain_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"Cannot keep secrets in {directory}: {error.filename or directory}: {error.strerror}. "
            "Name a directory that can be written to."
        ) from error


def _write(path: Path, content: str, *, replaces: bool) -> None:
    """All of the file or nothing, never seen half, also by a container that starts meanwhile."""
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    part = Path(name)
    try:
        with os.fdopen(number, "w", encoding="ascii") as file:
            os.fchmod(number, FILE_MODE)
            file.write(content)
            file.flush()
            os.fsync(number)
        if replaces:
            deliver_file(part, path)
        else:
            path.hardlink_to(part)  # fails if another process has made it in the meantime
    finally:
        part.unlink(missing_ok=True)


@click.group("db")
def db_command() -> None:
    """The database's schema, size and backup."""


@db_command.command("upgrade", epilog="Example: tapeworks db upgrade")
def upgrade() -> int:
    """Bring the database to this Tapeworks's revision; what it holds is kept.

    Where there is no SQLite file, a new one is made.
    """
    database = open_history(checked=False).database
    is_new = database.file is not None and is_missing(database.file)
    database.upgrade()
    if is_new:
        say(describe_new(database))
    put(f"{database.address} is at revision {REVISION}")
    return ExitCode.DONE


@db_command.command("size", epilog="Example: tapeworks db size")
@click.option("--json", is_flag=True, help="print JSON")
def show_size(json: bool) -> int:
    """Show what the tables take, the largest first."""
    sizes = table_sizes(open_history().database)
    if json:
        put(as_json([asdict(one) for one in sizes]))
        return ExitCode.DONE
    total = sum(one.bytes for one in sizes)
    rows = [(one.table, f"{one.rows:,}", size(one.bytes)) for one in sizes]
    put_table(("TABLE", "ROWS", "SIZE"), [*rows, ("all", "", size(total))])
    return ExitCode.DONE


@db_command.command("check", epilog="Example: tapeworks db check")
def check() -> int:
    """Say whether the database is at this Tapeworks's revision."""
    database = open_history().database
    put(f"{database.address} is at revision {REVISION}")
    return ExitCode.DONE


@db_command.command("backup", epilog="Example: tapeworks db backup history-backup.db")
@click.argument("file", type=PathType())
def back_up(file: Path) -> int:
    """Write a copy of the SQLite database to FILE, while schedulers go on.

    The copy is of one moment. To restore it, stop the schedulers and put it in the database's
    place; runs go on from the iterations that it has.
    """
    check_writable(file)
    database = open_history().database
    if not database.is_sqlite:
        raise UsageError(
            f"Expected an SQLite database. Received: {database.address}. Back it up with "
            "PostgreSQL's own pg_dump."
        )
    with write_whole(file) as complete:
        database.copy_to(complete)
    say(f"Backed up {database.address}")
    put_path(file)
    return ExitCode.DONE


@click.command("gc", epilog="Example: tapeworks gc --older-than 30d --keep-best accuracy --dry-run")
@click.option(
    "--older-than", type=Moment(), required=True, help="of runs that ended so long ago, or before"
)
@click.option(
    "--keep-best",
    type=click.Choice([metric.value for metric in Metric]),
    help="keep the parameters of the best evaluation too",
)
@click.option("--dry-run", is_flag=True, help="remove nothing; show what would be removed")
@click.option("--shrink", is_flag=True, help="give the room back to the disk; SQLite only")
@click.option("--json", is_flag=True, help="print JSON")
def gc_command(
    older_than: datetime, keep_best: str | None, dry_run: bool, shrink: bool, json: bool
) -> int:
    """Remove checkpoints of runs that ended long ago, but for the initial and the newest ones.

    Losses, ledgers and everything else stay, and replay can compute all parameters again. The
    sources of networks whose runs were all deleted are removed too.
    """
    metric = Metric(keep_best) if keep_best else None
    database = open_history().database
    pruned = prune(database, older_than, metric, dry_run=dry_run)
    networks = prune_networks(database, dry_run=dry_run)
    if json:
        put(as_json([asdict(one) for one in pruned]))
    elif pruned:
        put_table(HEADERS, [_row(one) for one in pruned])
    what = f"{sum(len(one.checkpoints) for one in pruned)} checkpoints of {len(pruned)} runs"
    room = size(sum(one.bytes for one in pruned))
    kind = "network" if networks == 1 else "networks"
    sources = f"; {networks} {kind} that no run is of" if networks else ""
    say(f"{'Would remove' if dry_run else 'Removed'} {what}, {room}{sources}")
    if shrink and not dry_run:
        database.shrink()
    return ExitCode.DONE


def _row(pruned: Pruned) -> tuple[str, ...]:
    count = str(len(pruned.checkpoints))
    return pruned.run_id, pruned.name or "-", count, size(pruned.bytes)


@click.command("secrets", epilog="Example: tapeworks secrets secrets")
@click.argument("directory", type=PathType())
def secrets_command(directory: Path) -> int:
    """Make the secrets of a deployment in DIRECTORY, and the file of its Redis users.

    A secret that is there is kept: to replace one, delete its file and call this again; change
    the database's password in PostgreSQL as well (SECURITY.md). The users' file, redis_users.acl,
    is replaced each time, with hashes of the passwords; it needs Redis 7 or newer. Prints the
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
