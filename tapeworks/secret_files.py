"""Secrets in files, one each, made where they are missing; Redis' users are derived from them."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tapeworks.delivery import deliver_file
from tapeworks.errors import UsageError
from tapeworks.workers.access import ROLES, acl_file
from tapeworks.workers.passwords import password_in

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
)
ACL_FILE = "redis_users.acl"


def make(directory: Path) -> list[Path]:
    """Make what is missing, and the users' file anew; the files that were written.

    A secret that is there is kept. Raises `UsageError`, `PasswordUnusable`.
    """
    with _told(directory):
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
            f"Expected a directory that nobody but its owner may enter. Received: {directory} with "
            f"mode {mode:o}. Name one that does not exist yet, or run: chmod 700 {directory}"
        )


@contextmanager
def _told(directory: Path) -> Iterator[None]:
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
            path.hardlink_to(part)  # fails if somebody else has made it in the meantime
    finally:
        part.unlink(missing_ok=True)
