"""A person's wish to stop, and the lease that is kept while a run is driven."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

from tapeworks.scheduler.errors import Interrupted, Requested
from tapeworks.scheduler.events import Alive, Event, LeaseRenewed, Listener, Notice, broadcast
from tapeworks.storage.history import History
from tapeworks.storage.records import Claim, Request, RunRecord
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

    def __init__(self, stop_after: int | None = None) -> None:
        """A run is left after `stop_after` of its iterations, too."""
        self._drain = self._abandon = False
        self._stop_after = stop_after
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

    def is_stopped(self, completed_iterations: int) -> bool:
        """Return whether a run is to be left after so many iterations."""
        is_last = self._stop_after is not None and completed_iterations >= self._stop_after
        return is_last or self._drain

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


class Story:
    """Writes what people should read into the run's history."""

    def __init__(self, history: History, claim: Claim) -> None:
        self._history, self._claim = history, claim

    def __call__(self, event: Event) -> None:
        """Write a notice. Raises `LeaseLost` when the run is another's."""
        if isinstance(event, Notice):  # which may repeat what a worker said
            message = event.message.replace("\0", "")[:LONGEST_MESSAGE]
            self._history.add_event(self._claim, event.kind, message, worker=event.worker)


class Means(Protocol):
    """The parts of a driver that keep a run."""

    @property
    def control(self) -> Control:
        """The wish of this process's user."""

    @property
    def lease(self) -> Lease:
        """The duration of its claims."""

    @property
    def events(self) -> Listener:
        """All that look on at the driver."""

    @property
    def check(self) -> Callable[[], None]:
        """Called in the waiting loop; may raise to leave the run."""

    def make_room(self, history: History, run: RunRecord) -> None:
        """Called at each renewal while the run waits; may raise to leave it."""


class Keeper:
    """The watcher of a driven run: keeps its lease and passes on interrupts."""

    def __init__(self, driver: Means, history: History, claim: Claim) -> None:
        self._driver, self._history, self._claim = driver, history, claim
        #: Tells all listeners, the run's story first: where that fails, nobody is told.
        self.events = broadcast(Story(history, claim), driver.events)
        self._renewed_at = time.monotonic()
        self._is_wanted = True  #: by the person who submitted the run, as of the latest renewal

    def goes_on(self, completed_iterations: int) -> bool:
        """Return False once it is known that the run is left after so many iterations."""
        return self._is_wanted and not self.is_stopped(completed_iterations)

    def is_stopped(self, completed_iterations: int) -> bool:
        """Return whether this process's user wants the run left after so many iterations."""
        return self._driver.control.is_stopped(completed_iterations)

    def tick(self, *, waiting: bool = False) -> None:
        """Renew the lease when it is time. Raises `Interrupted`, `Requested` or `LeaseLost`."""
        driver, control = self._driver, self._driver.control
        state = SchedulerState.WAITING if waiting else SchedulerState.DRIVING
        self.events(Alive(state, self._claim.run_id))
        driver.check()
        if control.abandoning or (waiting and control.draining):
            raise Interrupted("stopped at once on request")
        if time.monotonic() - self._renewed_at > driver.lease.renew_seconds:
            run = self._history.renew(self._claim, driver.lease.seconds)
            self._renewed_at = time.monotonic()
            self._is_wanted = run.request is None
            self.events(LeaseRenewed())
            if run.request is Request.CANCEL or waiting:
                _raise_if_requested(run)
            if waiting:
                driver.make_room(self._history, run)

    def heed(self, run: RunRecord) -> None:
        """Leave a run that a person wants paused or cancelled; a complete one is not paused."""
        if run.request is Request.CANCEL or run.completed_iterations < run.iterations:
            _raise_if_requested(run)


def _raise_if_requested(run: RunRecord) -> None:
    if run.request:
        raise Requested(f"{run.request} requested: {run.request_reason or 'without a reason'}")
