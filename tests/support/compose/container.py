"""A container made of Linux namespaces: what an engine gives a service, as far as we need it.

Its own network, host name, process numbers and root: this machine's files, over which it sees its
volumes, secrets and host names, written nowhere else when the service is read-only. It has its
user and no capabilities. Memory and processes are not limited.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGSTOP

import psutil

from tests.support.waiting import DEADLINE_SECONDS, until

#: Where the programs are that make a container; an account may have no path to some of them.
PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])

#: What an engine's --user, cap_drop and no-new-privileges come to.
UNPRIVILEGED = (
    "setpriv --reuid {uid} --regid {gid} --clear-groups "
    "--bounding-set=-all --inh-caps=-all --no-new-privs"
)

#: Says that the root is made; what follows is the service.
MADE = "tapeworks-container-is-made"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The view of a container."""

    name: str  #: its host name
    namespace: str  #: its network
    user: str  #: uid:gid
    environment: Mapping[str, str]
    working_directory: str
    read_only: bool
    tmpfs: Sequence[str] = ()
    bound: dict[str, Path] = field(default_factory=dict)  #: by the place where it is seen
    readable: Sequence[Path] = ()  #: of this machine, wherever it lies


class Container:
    """A service's process in its container, from `start` to `end`."""

    def __init__(self, setting: Setting, directory: Path, command: Sequence[str]) -> None:
        """Its output goes to files in the directory."""
        self.setting, self.directory, self.command = setting, directory, command
        directory.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._first: psutil.Process | None = None

    def start(self) -> None:
        """Make the container and start its command in it."""
        lines = [*self._root(), f"echo {MADE} >&2", "exec " + self._entered(self.command)]
        within = ["unshare", "--mount", "--uts", "--pid", "--fork"]
        place = ["ip", "netns", "exec", self.setting.namespace]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [*place, *within, "/bin/sh", "-c", "\n".join(lines)],
                stdout=out,
                stderr=err,
                env=os.environ | {"PATH": PATH},
            )
        until(self._is_made, f"the container of {self.setting.name} is made")

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def code(self) -> int | None:
        """The exit code of its command, when it is over."""
        return self.process.poll()

    @property
    def out(self) -> str:
        """Return what it wrote to stdout so far."""
        return self._out.read_text(errors="replace")

    @property
    def err(self) -> str:
        """Return what it wrote to stderr so far."""
        return self._err.read_text(errors="replace").replace(f"{MADE}\n", "")

    def run(self, command: Sequence[str], timeout_seconds: float) -> int:
        """`docker exec`: the exit code of another command in this container."""
        if self._first is None:
            return -1  # the container is gone
        target = ["nsenter", "--target", str(self._first.pid), "--all", "--root", "--"]
        script = f"cd /; exec {self._entered(command)}"
        script = script.replace("chroot . ", "")
        with (self.directory / "exec").open("ab") as log:
            try:
                return subprocess.run(
                    [*target, "/bin/sh", "-c", script],
                    env=os.environ | {"PATH": PATH},
                    stdout=log,
                    stderr=log,
                    timeout=timeout_seconds,
                ).returncode
            except subprocess.TimeoutExpired:
                return -1

    def signal(self, number: int) -> None:
        """Send a signal to its first process, as an engine does."""
        assert self._first is not None
        self._first.send_signal(number)

    def freeze(self, number: int = SIGSTOP) -> None:
        """Stop all its processes where they are; with SIGCONT they go on."""
        assert self._first is not None
        for process in (self._first, *self._first.children(recursive=True)):
            process.send_signal(number)

    def kill(self) -> None:
        """End everything in it at once."""
        if self._process is not None and self._process.poll() is None:
            # Its first process takes all others along. It does not end with its parent: that wish
            # of a process is forgotten when it becomes another user.
            firsts = psutil.Process(self._process.pid).children()
            for first in firsts:
                first.kill()
            self._process.kill()
            self._process.wait(DEADLINE_SECONDS)
            _, left = psutil.wait_procs(firsts, DEADLINE_SECONDS)
            assert not left, f"{self.setting.name} cannot be ended"

    @property
    def _out(self) -> Path:
        return self.directory / "out"

    @property
    def _err(self) -> Path:
        return self.directory / "err"

    def _is_made(self) -> bool:
        if MADE not in self._err.read_text(errors="replace"):
            assert self.process.poll() is None, self._err.read_text()
            return False
        children = psutil.Process(self.process.pid).children() if self.code is None else []
        self._first = children[0] if children else None
        return True

    def _entered(self, command: Sequence[str]) -> str:
        """The command as its user, with its environment alone."""
        uid, gid = self.setting.user.split(":")
        pairs = [f"{name}={value}" for name, value in self.setting.environment.items()]
        within = ["env", "--chdir", self.setting.working_directory, "--ignore-environment"]
        unprivileged = UNPRIVILEGED.format(uid=uid, gid=gid)
        return f"chroot . {unprivileged} {shlex.join([*within, *pairs, *command])}"

    def _root(self) -> list[str]:
        """Shell commands that make the root and go there."""
        setting, base = self.setting, shlex.quote(str(self.directory / "base"))
        layers = f"lowerdir=/,upperdir={base}/upper,workdir={base}/work"
        lines = [
            "set -e",
            "mount --make-rprivate /",
            f"hostname {setting.name}",
            f"mkdir -p {base}",
            f"mount -t tmpfs tmpfs {base}",
            f"mkdir {base}/upper {base}/work {base}/root",
            f"mount -t overlay overlay -o {layers} {base}/root",
            f"cd {base}/root",
            "mount -t proc proc proc",
            "mount --rbind /dev dev",
            "mount --rbind /sys sys",
        ]
        places = {place for path in setting.readable for place in (path, *path.parents)}
        lines += [f"chmod o+rx .{shlex.quote(str(place))}" for place in places]
        home = f".{setting.working_directory}"
        lines += [f"mkdir -p {home}", f"chown {setting.user} {home}"]
        lines += [f"mkdir -p .{place} && mount -t tmpfs tmpfs .{place}" for place in setting.tmpfs]
        # A tmpfs may hide what is readable, and this user's home may be private.
        for place, path in ({str(path): path for path in setting.readable} | setting.bound).items():
            make = "mkdir -p" if path.is_dir() else "install -D /dev/null"
            lines.append(f"{make} .{place} && mount --rbind {shlex.quote(str(path))} .{place}")
        if setting.read_only:
            lines.append("mount -o remount,bind,ro .")
        return lines
