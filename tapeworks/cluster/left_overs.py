"""Directories of private Redis servers whose owners were killed, with the servers."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from contextlib import suppress
from pathlib import Path

from tapeworks.storage.owners import current_owner, is_gone

#: The beginning of the directories' names.
PREFIX = "tapeworks-redis-"

#: The socket in its directory, and the file that names the process which owns it.
SOCKET, OWNER = "redis.sock", "owner"


def name_own(directory: Path) -> None:
    """Write into a directory that this process owns it."""
    (directory / OWNER).write_text(current_owner(), encoding="utf-8")


def find_left_overs(base: Path) -> list[Path]:
    """Return this user's directories in it whose owner is provably dead, and whose server is."""
    with suppress(OSError):
        return [place for place in base.glob(f"{PREFIX}*") if _is_left_over(place)]
    return []


def remove_left_overs(base: Path) -> None:
    """Remove them; what cannot be removed stays."""
    for place in find_left_overs(base):
        shutil.rmtree(place, ignore_errors=True)


def _is_left_over(place: Path) -> bool:
    try:
        found = place.lstat()
        if found.st_uid != os.geteuid() or found.st_mode != stat.S_IFDIR | 0o700:
            return False
        return is_gone((place / OWNER).read_text(encoding="utf-8")) and not _answers(place)
    except (OSError, ValueError):  # one that is being made, or removed, has no owner's file
        return False


def _answers(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(place / SOCKET)) == 0
