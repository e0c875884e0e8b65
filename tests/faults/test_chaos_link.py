"""The drill's cables between network namespaces: slow, lossy, pulled out, and gone at the end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.faults.chaos.network import Namespaces, free_port, network
from tests.faults.chaos.proxy import ProxyProcess

pytestmark = pytest.mark.slow

#: Connects to a host and port within the time that a packet takes many times over.
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()"

#: Many times longer than a packet takes over an idle cable.
DELAY_SECONDS = 0.2


@pytest.fixture
def world() -> Iterator[Namespaces]:
    """A hub and one group."""
    made, said = network(1)
    if not isinstance(made, Namespaces):
        pytest.skip(said)
    yield made
    made.close()


@pytest.fixture
def port(world: Namespaces) -> Iterator[int]:
    """The address at which something listens at the hub."""
    port = free_port()
    listener = ProxyProcess(world.at_hub(), world.hub_address(1), port, port)
    yield port
    listener.close()


def connects(world: Namespaces, port: int) -> bool:
    """Return whether the group reaches the hub."""
    command = [*world.at_group(1), sys.executable, "-c", CONNECT, world.hub_address(1), str(port)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_cable_carries_loses_and_is_pulled_out(world: Namespaces, port: int) -> None:
    link = world.links[1]
    assert connects(world, port)

    link.loss = 1.0
    assert not connects(world, port)
    link.loss = 0.0
    assert connects(world, port)

    link.up(False)
    assert not connects(world, port)
    link.up(True)
    assert connects(world, port)


def test_a_slow_cable_carries_late(world: Namespaces, port: int) -> None:
    world.links[1].delay_seconds = DELAY_SECONDS
    began = time.monotonic()

    assert connects(world, port)
    assert time.monotonic() - began >= 2 * DELAY_SECONDS  # there and back


def test_nothing_is_left_of_the_namespaces(world: Namespaces) -> None:
    name = world.at_group(1)[-1]
    assert name in _names()
    world.close()

    assert name not in _names()


def _names() -> list[str]:
    done = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return [line.split()[0] for line in done.stdout.splitlines()]
