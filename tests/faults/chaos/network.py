"""Places of the world's processes: a network namespace for each worker, or this machine.

Redis and the schedulers are in the hub, a namespace of their own; a cable leads from it to each
worker group.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import ExitStack
from typing import Protocol

from tests.faults.chaos.link import DEVICE, Link, ip

#: Addresses in the namespaces; nobody outside sees them.
HUB_ADDRESS = "10.77.{group}.1"
GROUP_ADDRESS = "10.77.{group}.2"
LOOPBACK = "127.0.0.1"


class Network(Protocol):
    """The way of a process to its place, and from there to the hub."""

    links: dict[int, Link]  #: by worker group

    def at_hub(self) -> list[str]:
        """Return what stands before a command that runs beside Redis."""

    def at_group(self, group: int) -> list[str]:
        """Return what stands before a command of this worker group."""

    def hub_address(self, group: int) -> str:
        """The hub, as this group reaches it."""

    def close(self) -> None:
        """Nothing of it is left."""


class Plain:
    """No namespaces: all on loopback."""

    def __init__(self) -> None:
        self.links: dict[int, Link] = {}

    def at_hub(self) -> list[str]:
        return []

    def at_group(self, group: int) -> list[str]:
        return []

    def hub_address(self, group: int) -> str:
        return LOOPBACK

    def close(self) -> None:
        """Nothing was made."""


class Namespaces:
    """A namespace for the hub and one for each group, with a cable between."""

    def __init__(self, groups: int) -> None:
        self._stack = ExitStack()
        self._name = f"tapeworks-{os.getpid()}"
        self.links = {}
        try:
            self._add("hub")
            for group in range(1, groups + 1):
                self._add(str(group))
                self.links[group] = self._cable(group)
        except BaseException:
            self.close()
            raise

    def at_hub(self) -> list[str]:
        return ["ip", "netns", "exec", f"{self._name}-hub"]

    def at_group(self, group: int) -> list[str]:
        return ["ip", "netns", "exec", f"{self._name}-{group}"]

    def hub_address(self, group: int) -> str:
        return HUB_ADDRESS.format(group=group)

    def close(self) -> None:
        self._stack.close()

    def _add(self, place: str) -> None:
        name = f"{self._name}-{place}"
        ip("netns", "add", name)
        self._stack.callback(ip, "netns", "delete", name)
        ip("-n", name, "link", "set", "lo", "up")

    def _cable(self, group: int) -> Link:
        near = f"{self._name}-hub", HUB_ADDRESS.format(group=group)
        far = f"{self._name}-{group}", GROUP_ADDRESS.format(group=group)
        link = Link(f"tw{os.getpid()}-{group}", near, far)
        self._stack.callback(link.close)
        return link


def network(groups: int, namespaces: bool = True) -> tuple[Network, str]:
    """Namespaces where they are wanted and allowed, and what to tell the reader."""
    problem = _problem() if namespaces else "network namespaces are not wanted"
    if problem is None:
        try:
            return Namespaces(
                groups
            ), f"every one of {groups} worker groups has a network namespace"
        except (OSError, subprocess.CalledProcessError) as error:
            problem = str(getattr(error, "stderr", b"") or error)
    return Plain(), f"plain processes, link faults are left out: {problem}"


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _problem() -> str | None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "there is no `ip` program"
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return f"there is no {DEVICE}"
    return None
