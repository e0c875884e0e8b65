"""A cable between two network namespaces that can be slow, lossy or unplugged.

Two TAP devices, one in each namespace, and a thread that carries Ethernet frames from one to the
other, late or not at all. The kernel's own netem is not built into every kernel; this needs none.
The devices vanish with the process.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from contextlib import suppress

#: From linux/if_tun.h.
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
DEVICE = "/dev/net/tun"

#: Bytes of the largest frame: few frames for a large answer, all carried by Python.
LARGEST_FRAME = 9000
ETHERNET_HEADER = 18

#: Frames that wait in one link; more are lost, as in a router.
LONGEST_QUEUE = 2000

#: Seconds that the thread sleeps when no frame comes.
LOOK_SECONDS = 0.2


class Link:
    """A cable with an end in each of two namespaces, each with an address."""

    def __init__(self, name: str, near: tuple[str, str], far: tuple[str, str]) -> None:
        """`near` and `far` are a namespace and the address that this end gets there."""
        self.delay_seconds = 0.0
        self.loss = 0.0  #: share of the frames
        self._far, self._far_device = far[0], f"{name}f"
        self._random = random.Random(name)
        self._leaving = threading.Event()
        self._fds = [
            _plugged(f"{name}n", *near),
            _plugged(self._far_device, *far),
        ]
        self._thread = threading.Thread(target=self._carry, name=name, daemon=True)
        self._thread.start()

    def up(self, is_up: bool) -> None:
        """Plug the far end in, or pull it out."""
        state = "up" if is_up else "down"
        ip("-n", self._far, "link", "set", self._far_device, state)

    def close(self) -> None:
        """The cable is gone, and both devices."""
        self._leaving.set()
        self._thread.join()
        for fd in self._fds:
            os.close(fd)

    def _carry(self) -> None:
        late: list[tuple[float, int, int, bytes]] = []
        opposite = dict(zip(self._fds, reversed(self._fds), strict=True))
        number = 0
        while not self._leaving.is_set():
            due = late[0][0] - time.monotonic() if late else LOOK_SECONDS
            readable, _, _ = select.select(self._fds, [], [], min(max(due, 0.0), LOOK_SECONDS))
            for fd in readable:
                frame = _read(fd)
                if not frame or self._random.random() < self.loss or len(late) > LONGEST_QUEUE:
                    continue
                number += 1
                at = time.monotonic() + self.delay_seconds
                heapq.heappush(late, (at, number, opposite[fd], frame))
            while late and late[0][0] <= time.monotonic():
                _, _, fd, frame = heapq.heappop(late)
                with suppress(OSError):  # an end that is down takes no frame
                    os.write(fd, frame)


def ip(*arguments: str) -> None:
    """Run iproute2's `ip`."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, LARGEST_FRAME + ETHERNET_HEADER)
    except OSError:  # the device is down
        return b""


def _plugged(device: str, namespace: str, address: str) -> int:
    fd = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    request = struct.pack("16sH22x", device.encode(), IFF_TAP | IFF_NO_PI)
    fcntl.ioctl(fd, TUNSETIFF, request)
    ip("link", "set", device, "netns", namespace)
    ip("-n", namespace, "link", "set", device, "mtu", str(LARGEST_FRAME))
    ip("-n", namespace, "address", "add", f"{address}/24", "dev", device)
    ip("-n", namespace, "link", "set", device, "up")
    return fd
