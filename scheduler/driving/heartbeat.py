"""This scheduler as others see it: what its drivers say of themselves, shown every second."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from tapeworks.wire.errors import RedisUnreachable
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.messages import SchedulerRecord, SchedulerState
from tapeworks.wire.versions import python_version, tapeworks_version


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a driver said of itself, and when."""

    state: SchedulerState
    run_id: str | None
    at: float  #: by the monotonic clock


class Pulse:
    """Written by a driver from inside its loops, which costs it nothing; read by `Presence`."""

    def __init__(self) -> None:
        self.said: Said | None = None
        self.beat(SchedulerState.IDLE)

    def beat(self, state: SchedulerState, run_id: str | None = None) -> None:
        """This driver is alive, and at this."""
        self.said = Said(state=state, run_id=run_id, at=time.monotonic())

    def end(self) -> None:
        """This driver has ended in order, and nothing is to be heard of it."""
        self.said = None


logger = logging.getLogger(__name__)

#: Seconds between two times that a scheduler shows itself.
SHOW_SECONDS = 1.0

#: Seconds after which a driver that says nothing counts as wedged: that long a lease holds.
LONGEST_SILENCE_SECONDS = 10.0


class Presence:
    """Shows this process at Redis while every one of its drivers is heard of.

    Redis is written to by a thread, so that one that is frozen holds up no driver, which has a
    lease to keep. The thread shows what the drivers' loops say: a loop that is wedged says nothing,
    and its process vanishes from the list.
    """

    def __init__(self, exchange: Exchange, pulses: Sequence[Pulse]) -> None:
        self._exchange, self._pulses = exchange, pulses
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._since = datetime.now(UTC)
        self._is_shown = False
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._keep_showing, name="presence", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join()
        if self._is_shown:
            try:
                self._exchange.hide_scheduler(self._name)
            except RedisUnreachable as error:
                logger.debug("%s", error)

    def record(self) -> SchedulerRecord | None:
        """What others see; None while a driver is not heard of."""
        said = [one for pulse in self._pulses if (one := pulse.said)]
        if any(time.monotonic() - one.at > LONGEST_SILENCE_SECONDS for one in said):
            return None
        states = {one.state for one in said}
        order = (SchedulerState.DRIVING, SchedulerState.WAITING, SchedulerState.IDLE)
        return SchedulerRecord(
            name=self._name,
            host=socket.gethostname(),
            pid=os.getpid(),
            since=self._since.isoformat(timespec="seconds"),
            state=next((state for state in order if state in states), SchedulerState.IDLE),
            runs=tuple(sorted(one.run_id for one in said if one.run_id)),
            version=tapeworks_version(),
            python=python_version(),
            clock=datetime.now(UTC).isoformat(),
        )

    def _keep_showing(self) -> None:
        while True:
            try:
                self._show()
            except RedisUnreachable as error:
                logger.debug("%s", error)
            except Exception:  # it informs people, and ends no scheduler
                logger.exception("This scheduler cannot show itself")
            if self._leaving.wait(SHOW_SECONDS):
                return

    def _show(self) -> None:
        self._is_shown = False
        record = self.record()
        if record is None:
            logger.warning("A driver of this scheduler has said nothing for a while; not shown")
            return
        self._exchange.show_scheduler(record)
        self._is_shown = True
