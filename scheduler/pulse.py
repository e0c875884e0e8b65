"""What a driver says of itself, from inside its loops."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tapeworks.workers.messages import SchedulerState


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
