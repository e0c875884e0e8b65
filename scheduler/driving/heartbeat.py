"""The heartbeat of a scheduler: it is registered at Redis while its drivers' loops turn."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from datetime import UTC, datetime
from typing import Self

from tapeworks.scheduler.events import Alive, DriverEnded, Event
from tapeworks.wire.errors import RedisUnreachable
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.limits import LONGEST_NAME
from tapeworks.wire.messages import SchedulerRecord, SchedulerState
from tapeworks.wire.versions import python_version, tapeworks_version

logger = logging.getLogger(__name__)

#: Seconds between two heartbeats.
HEARTBEAT_SECONDS = 1.0

#: Seconds after which a silent driver counts as wedged: that long a lease holds.
LONGEST_SILENCE_SECONDS = 10.0


class DriverHeartbeat:
    """The latest sign of life of one driver; set from inside its loops, which costs it nothing."""

    def __init__(self) -> None:
        self.latest: Alive | None = Alive(SchedulerState.IDLE)  #: None once it has ended in order
        self.heard_at = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Remember that the driver is alive, or that it has ended."""
        if isinstance(event, Alive):
            self.heard_at, self.latest = time.monotonic(), event
        elif isinstance(event, DriverEnded):
            self.latest = None


class Heartbeat:
    """Registers this process at Redis every second while all of its drivers are alive.

    A thread writes to Redis, so that one that is frozen holds up no driver, which has a lease to
    keep. A driver whose loop is wedged is silent, and its process vanishes from the list.
    """

    def __init__(self, exchange: Exchange, drivers: int) -> None:
        self._exchange, self.drivers = exchange, [DriverHeartbeat() for _ in range(drivers)]
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._since = datetime.now(UTC)
        self._database: tuple[str, str] = ("", "")
        self._is_registered = False
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join()
        if self._is_registered:
            try:
                self._exchange.deregister_scheduler(self._name)
            except RedisUnreachable as error:
                logger.debug("%s", error)

    def serve(self, database_id: str, address: str) -> None:
        """Show which database is served from now on."""
        self._database = (database_id, address[:LONGEST_NAME])

    def record(self) -> SchedulerRecord | None:
        """Return the record that others see; None while a driver is silent."""
        heard = [(latest, one.heard_at) for one in self.drivers if (latest := one.latest)]
        if any(time.monotonic() - at > LONGEST_SILENCE_SECONDS for _, at in heard):
            return None
        states = {latest.state for latest, _ in heard}
        order = (SchedulerState.DRIVING, SchedulerState.WAITING, SchedulerState.IDLE)
        return SchedulerRecord(
            name=self._name,
            host=socket.gethostname(),
            pid=os.getpid(),
            since=self._since.isoformat(timespec="seconds"),
            state=next((state for state in order if state in states), SchedulerState.IDLE),
            database=self._database[0],
            address=self._database[1],
            runs=tuple(sorted(latest.run_id for latest, _ in heard if latest.run_id)),
            version=tapeworks_version(),
            python=python_version(),
            clock=datetime.now(UTC).isoformat(),
        )

    def _beat(self) -> None:
        while True:
            try:
                self._register()
            except RedisUnreachable as error:
                logger.debug("%s", error)
            except Exception:  # it informs people, and ends no scheduler
                logger.exception("This scheduler cannot be registered")
            if self._leaving.wait(HEARTBEAT_SECONDS):
                return

    def _register(self) -> None:
        self._is_registered = False
        record = self.record()
        if record is None:
            logger.warning("A driver of this scheduler is silent; it is not registered")
            return
        self._exchange.register_scheduler(record)
        self._is_registered = True
