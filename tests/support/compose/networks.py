"""Compose's networks: a bridge for each, and a network namespace for each container."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.chaos.link import ip

#: Addresses in the namespaces; nobody outside sees them.
ADDRESS = "10.78.{network}.{host}"

#: A Python program that opens a connection, or fails.
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)"


class Networks:
    """The networks of a project; with them vanishes all that is plugged in."""

    def __init__(self, names: Iterable[str]) -> None:
        if os.geteuid() != 0 or shutil.which("ip") is None:
            pytest.skip("Network namespaces need root and the `ip` program.")
        self._stack, self._prefix = ExitStack(), f"tapeworks-{os.getpid()}"
        self._plugs = itertools.count(1)
        self._numbers = {name: number for number, name in enumerate(sorted(names), 1)}
        self._hosts: dict[str, dict[str, str]] = {name: {} for name in self._numbers}
        try:
            self._switch = self._namespace("switch")
            for number in self._numbers.values():
                ip("-n", self._switch, "link", "add", f"br{number}", "type", "bridge")
                ip("-n", self._switch, "link", "set", f"br{number}", "up")
        except subprocess.CalledProcessError as error:
            self.close()
            pytest.skip(f"Network namespaces cannot be made: {error.stderr.decode()}")

    def plug_in(self, container: str, service: str, names: Iterable[str]) -> str:
        """A namespace for this container, on these networks."""
        namespace = self._namespace(container)
        for name in names:
            number, plug = self._numbers[name], next(self._plugs)
            address = ADDRESS.format(network=number, host=plug)
            near, far = f"plug{plug}", f"eth{number}"
            ends = ["name", near, "type", "veth", "peer", "name", far, "netns", namespace]
            ip("-n", self._switch, "link", "add", *ends)
            ip("-n", self._switch, "link", "set", near, "master", f"br{number}", "up")
            ip("-n", namespace, "address", "add", f"{address}/24", "dev", far)
            ip("-n", namespace, "link", "set", far, "up")
            self._hosts[name].setdefault(service, address)
        return namespace

    def addresses(self, service: str) -> list[str]:
        """Return where this service is, on each of its networks."""
        return [hosts[service] for hosts in self._hosts.values() if service in hosts]

    def cut(self, name: str) -> None:
        """Nothing passes through this network, and nobody is told: a link that is down."""
        self._set(name, "down")

    def mend(self, name: str) -> None:
        """It passes again."""
        self._set(name, "up")

    def _set(self, name: str, state: str) -> None:
        ip("-n", self._switch, "link", "set", f"br{self._numbers[name]}", state)

    def host_names(self, names: Iterable[str], path: Path) -> Path:
        """A hosts file: the services that share one of these networks, as Compose's DNS knows."""
        lines = ["127.0.0.1 localhost"]
        for name in names:
            lines += [f"{address} {service}" for service, address in self._hosts[name].items()]
        path.write_text("\n".join(lines) + "\n")
        return path

    def close(self) -> None:
        """Nothing of them is left."""
        self._stack.close()

    def _namespace(self, place: str) -> str:
        name = f"{self._prefix}-{place}"
        ip("netns", "add", name)
        self._stack.callback(ip, "netns", "delete", name)
        ip("-n", name, "link", "set", "lo", "up")
        return name
