"""A person's wish to stop, and the lease that is kept while a run is driven."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from tapeworks.scheduler.driving.heartbeat import Pulse
from tapeworks.scheduler.errors import Interrupted, Requested
from tapeworks.scheduler.metering import UNMETERED, Meter
from tapeworks.storage.history import History
from tapeworks.storage.records import Claim, Request, RunRecord
from tapeworks.wire.crash_points import CrashPoint, crash_point
from tapeworks.wire.log_context import about
from tapeworks.wire.messages import SchedulerState


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The duration of a claim, renewed in the waiting loop, so that a wedged loop loses its run."""

    seconds: float = 10.0  #: without a renewal, until another may take the run over
    renew_seconds: float = 3.0  #: between two renewals


#: Characters of an event's message that are kept.
LONGEST_MESSAGE = 4000


class Control:
    """Set from a signal handler, read by the loops of any number of threads.

    No lock: a signal's handler may interrupt another one, or a loop, that has it, for ever then.
    """

    def __init__(self) -> None:
        self._drain = self._abandon = False
        self._sleepers: dict[SimpleQueue[None], None] = {}

    def interrupt(self) -> None:
        """The first time: stop after the iteration in progress. The second: stop at once."""
        self._abandon = self._drain
        self.drain()

    def drain(self) -> None:
        """Stop after the iteration in progress."""
        self._drain = True
        for sleeper in tuple(self._sleepers):
            sleeper.put(None)  # the one way to wake a thread that a handler may use

    @property
    def draining(self) -> bool:
        """True once the run is to stop after the iteration in progress."""
        return self._drain

    @property
    def abandoning(self) -> bool:
        """True once the run is to stop at once."""
        return self._abandon

    def wait(self, seconds: float) -> bool:
        """Sleep so long or until interrupted; return whether it was."""
        sleeper = SimpleQueue[None]()
        self._sleepers[sleeper] = None
        try:
            if not self._drain:
                with suppress(Empty):
                    sleeper.get(timeout=seconds)
        finally:
            del self._sleepers[sleeper]
        return self._drain


class Keeper:
    """The watcher of a driven run: keeps its lease, writes its events, passes on interrupts."""

    def __init__(
        self,
        history: History,
        claim: Claim,
        control: Control,
        on_notice: Callable[[str, str], None],
        on_tick: Callable[[], None],
        lease: Lease,
        pulse: Pulse,
        meter: Meter = UNMETERED,
        on_wait: Callable[[RunRecord], None] = lambda _: None,
        stop_after: int | None = None,
    ) -> None:
        """While the run waits, `on_wait` is called at each renewal; it may raise to leave it.

        It is stopped after `stop_after` iterations, too.
        """
        self._history, self._claim, self._control = history, claim, control
        self._lease, self._pulse, self._meter = lease, pulse, meter
        self._on_notice, self._on_tick, self._on_wait = on_notice, on_tick, on_wait
        self._stop_after = stop_after
        self._renewed_at = time.monotonic()
        self._is_wanted = True  #: by the person who submitted the run, as of the latest renewal

    def goes_on(self, completed_iterations: int) -> bool:
        """Return False once it is known that the run is left after so many iterations."""
        return self._is_wanted and not self.is_stopped(completed_iterations)

    def is_stopped(self, completed_iterations: int) -> bool:
        """Return whether this process's user wants the run left after so many iterations."""
        is_last = self._stop_after is not None and completed_iterations >= self._stop_after
        return is_last or self._control.draining

    def tick(self, *, waiting: bool = False) -> None:
        """Renew the lease when it is time. Raises `Interrupted`, `Requested` or `LeaseLost`."""
        state = SchedulerState.WAITING if waiting else SchedulerState.DRIVING
        self._pulse.beat(state, self._claim.run_id)
        self._on_tick()
        if self._control.abandoning or (waiting and self._control.draining):
            raise Interrupted("stopped at once on request")
        if time.monotonic() - self._renewed_at > self._lease.renew_seconds:
            run = self._history.renew(self._claim, self._lease.seconds)
            self._renewed_at = time.monotonic()
            self._is_wanted = run.request is None
            self._meter.renewed()
            crash_point(CrashPoint.LEASE_RENEWED)
            if run.request is Request.CANCEL or waiting:
                _heed(run)
            if waiting:
                self._on_wait(run)

    def committed(self, run: RunRecord) -> None:
        """Leave a run that a person wants paused or cancelled; a complete one is not paused."""
        if run.request is Request.CANCEL or run.completed_iterations < run.iterations:
            _heed(run)

    def notice(self, kind: str, message: str, worker: str | None = None) -> None:
        """Write an event into the run's history and pass it on to whoever looks on."""
        message = message.replace("\0", "")[:LONGEST_MESSAGE]  # it may repeat what a worker said
        self._history.add_event(self._claim, kind, message, worker=worker)
        crash_point(CrashPoint.EVENT_WRITTEN)
        with about(worker=worker):
            self._on_notice(kind, message)


def _heed(run: RunRecord) -> None:
    if run.request:
        raise Requested(f"{run.request} requested: {run.request_reason or 'without a reason'}")
