"""What a scheduler does while its database cannot be used: it waits, and says so once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential

from scheduler.control import Control
from scheduler.errors import Interrupted
from scheduler.pulse import Pulse
from storage.errors import LeaseLost, StorageUnreachable
from storage.history import History
from storage.records import Claim
from workers.messages import SchedulerState

#: The first and the longest pause before the database is tried again, in seconds.
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0

_Result = TypeVar("_Result")


class Patience:
    """Does units of work anew, as a whole, until the database takes them or the user interrupts.

    The user is told once when an outage begins and once when it is over. The history of the run
    that is driven, if any, is told as soon as it can be written.
    """

    def __init__(
        self,
        history: History,
        control: Control,
        on_notice: Callable[[str, str], None],
        claim: Claim | None = None,
        pulse: Pulse | None = None,
    ) -> None:
        self._history, self._control, self._on_notice = history, control, on_notice
        self._claim, self._pulse = claim, pulse or Pulse()
        self._story: list[tuple[datetime, str, str]] = []  # what the history was not told yet
        self._is_out = False
        self._retrying = Retrying(
            retry=retry_if_exception_type(StorageUnreachable),
            wait=wait_exponential(multiplier=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS),
            sleep=self._pause,
            before_sleep=self._failed,
        )

    def __call__(self, unit: Callable[[], _Result], /) -> _Result:
        """What the unit gives in the end. Raises `Interrupted` when the user will not wait."""
        try:
            result = self._retrying(unit)
        except LeaseLost:  # says a database that is back
            self._back()
            raise
        self._back()
        self._write_story()
        return result

    def _back(self) -> None:
        if self._is_out:
            self._is_out = False
            self._tell("database_back", "The database is back; going on.")

    def _failed(self, state: RetryCallState) -> None:
        if not self._is_out and state.outcome:
            self._is_out = True
            why = state.outcome.exception()
            self._tell("database_unreachable", f"Waiting for the database: {why}")

    def _pause(self, seconds: float) -> None:
        run_id = self._claim.run_id if self._claim else None
        self._pulse.beat(SchedulerState.WAITING, run_id)
        if self._control.wait(seconds):
            raise Interrupted("stopped on request while the database could not be used")

    def _tell(self, kind: str, message: str) -> None:
        if self._claim:
            now = datetime.now(UTC)  # by this machine's clock: the database cannot be asked
            self._story.append((now, kind, message))
        self._on_notice(kind, message)

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
