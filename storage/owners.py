"""Names of the processes that drive runs, by which others on the machine see that one is dead."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

#: When a process started that lives, but that this user may not look at.
HIDDEN = "hidden"


def current_owner(part: int = 0) -> str:
    """This process, as host:boot:pid:start/part; no two processes ever share it.

    Each part of a process that drives runs has a number of its own.
    """
    return f"{_here()}:{os.getpid()}:{_start_of(os.getpid())}/{part}"


def name_owner(owner: str | None) -> str:
    """An owner as people read it."""
    if owner is None:
        return "nobody"
    host, pid = owner.split(":", 1)[0], owner.rsplit(":", 2)[-2:-1]
    return f"process {pid[0]} on {host}" if pid else owner


def is_gone(owner: str) -> bool:
    """Return whether the owner is provably dead: it was here, and its process has ended.

    Of other machines, other containers and other boots nothing can be proved; their leases tell.
    """
    process = _process_here(owner)
    return process is not None and _start_of(process[0]) not in {process[1], HIDDEN}


def is_alive(owner: str) -> bool:
    """Return whether the owner is provably alive: its process is here, and is the same one."""
    process = _process_here(owner)
    return process is not None and _start_of(process[0]) == process[1] != HIDDEN


def _process_here(owner: str) -> tuple[int, str] | None:
    """Number and start of the owner's process; None if it was not on this boot of this machine."""
    place, *process = owner.rsplit(":", 2)
    if place != _here() or len(process) != 2 or not process[0].isdecimal():
        return None
    return int(process[0]), process[1].partition("/")[0]


def _here() -> str:
    return f"{platform.node()}:{_boot()}"


if sys.platform == "linux":

    @cache
    def _boot() -> str:
        """This boot of the machine, and the container within which process ids mean something."""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"

    def _start_of(pid: int) -> str | None:
        """Return the start of the process; None if there is none, or only a zombie.

        In clock ticks since boot: unlike a time of day, they stay when the clock is set.
        """
        try:
            status = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return _hidden(pid)
        state, *numbers = status.rpartition(")")[2].split()
        return None if state in "ZX" else numbers[18]

    def _hidden(pid: int) -> str | None:
        """Return `HIDDEN` for a process that /proc, mounted with hidepid, does not show."""
        try:
            with suppress(PermissionError):  # then it is there, and another user's
                os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return None
        return HIDDEN

else:

    @cache
    def _boot() -> str:
        """This boot of the machine."""
        import psutil

        return str(round(psutil.boot_time()))

    def _start_of(pid: int) -> str | None:
        """Return the start of the process; None if there is none, or only a zombie."""
        import psutil

        try:
            process = psutil.Process(pid)
            is_dead = process.status() == psutil.STATUS_ZOMBIE
            return None if is_dead else str(process.create_time())
        except psutil.NoSuchProcess:
            return None
        except psutil.AccessDenied:
            return HIDDEN
