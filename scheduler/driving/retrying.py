"""Waiting while a scheduler's database or Redis cannot be used, reported once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    wait_exponential,
)

from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.errors import Interrupted
from tapeworks.scheduler.events import Alive, Listener, Notice
from tapeworks.storage.errors import (
    HistoryRolledBack,
    LeaseLost,
    StorageRefused,
    StorageUnreachable,
)
from tapeworks.storage.history import History
from tapeworks.storage.records import Claim
from tapeworks.wire.errors import RedisMisconfigured, RedisUnreachable
from tapeworks.wire.messages import SchedulerState

#: The first and the longest pause before the database is tried again, in seconds.
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0

_Result = TypeVar("_Result")

#: Pauses between two attempts.
_PAUSES = wait_exponential(multiplier=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS)


class Beginning:
    """Waits, before any run is driven, for the places that a scheduler needs.

    Each that is away is reported once, and once when it is there. Raises at once whatever waiting
    does not help against, such as a wrong password, and `Interrupted` when the user will not wait.
    """

    def __init__(self, control: Control, events: Listener) -> None:
        self._control, self._events = control, events

    def wait_for(self, place: str, attempt: Callable[[], _Result]) -> _Result:
        """Return what the attempt gives once the place, "the database" say, can be used."""
        is_away = False

        def report(state: RetryCallState) -> None:
            nonlocal is_away
            if not is_away and state.outcome:
                is_away = True
                message = f"Waiting for {place}: {state.outcome.exception()}"
                self._events(Notice("waiting", message))

        retrying = Retrying(
            retry=retry_if_exception(_may_pass),
            wait=_PAUSES,
            sleep=self._pause,
            before_sleep=report,
        )
        result = retrying(attempt)
        if is_away:
            message = f"{place[0].upper()}{place[1:]} is there; going on."
            self._events(Notice("going_on", message))
        return result

    def _pause(self, seconds: float) -> None:
        self._events(Alive(SchedulerState.WAITING))
        if self._control.wait(seconds):
            raise Interrupted("stopped on request before it could begin")


def _may_pass(error: BaseException) -> bool:
    """Return whether it is an outage, rather than a mistake that a person must correct."""
    is_outage = isinstance(error, StorageUnreachable | RedisUnreachable)
    return is_outage and not isinstance(error, StorageRefused | RedisMisconfigured)


class Patience:
    """Retries units of work, as a whole, until the database takes them or the user interrupts.

    The user is told once when an outage begins and once when it is over. The history of the run
    that is driven, if any, is told as soon as it can be written.
    """

    def __init__(
        self,
        history: History,
        control: Control,
        events: Listener,
        claim: Claim | None = None,
    ) -> None:
        self._history, self._control, self._events, self._claim = history, control, events, claim
        self._story: list[tuple[datetime, str, str]] = []  # what the history was not told yet
        self._is_out = False
        self._retrying = Retrying(
            retry=retry_if_exception_type(StorageUnreachable),
            wait=_PAUSES,
            sleep=self._pause,
            before_sleep=self._report_outage,
        )

    def __call__(self, unit: Callable[[], _Result], /) -> _Result:
        """Return the unit's result. Raises `Interrupted` when the user will not wait."""
        try:
            result = self._retrying(unit)
        except (LeaseLost, HistoryRolledBack):  # says a database that is back
            self._back()
            raise
        self._back()
        self._write_story()
        return result

    def _back(self) -> None:
        if self._is_out:
            self._is_out = False
            self._tell("database_back", "The database is back; going on.")

    def _report_outage(self, state: RetryCallState) -> None:
        if not self._is_out and state.outcome:
            self._is_out = True
            why = state.outcome.exception()
            self._tell("database_unreachable", f"Waiting for the database: {why}")

    def _pause(self, seconds: float) -> None:
        run_id = self._claim.run_id if self._claim else None
        self._events(Alive(SchedulerState.WAITING, run_id))
        if self._control.wait(seconds):
            raise Interrupted("stopped on request while the database could not be used")

    def _tell(self, kind: str, message: str) -> None:
        if self._claim:
            now = datetime.now(UTC)  # by this machine's clock: the database cannot be asked
            self._story.append((now, kind, message))
        self._events(Notice(kind, message))

    def _write_story(self) -> None:
        """Note what happened; what cannot be noted now is noted after the next unit of work."""
        try:
            while self._claim and self._story:
                at, kind, message = self._story[0]
                self._history.add_event(self._claim, kind, message, at)
                del self._story[0]
        except StorageUnreachable:
            return
        except LeaseLost:
            self._story.clear()  # the run is another's; its story too
