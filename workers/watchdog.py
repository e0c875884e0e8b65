"""Tells when a worker is up but takes nothing, although there is something to take."""

from __future__ import annotations

#: So many heartbeats in a row without a message from a queue that is not empty are too many.
#: Heartbeats, not seconds: a process that was frozen for an hour has missed one heartbeat.
IDLE_HEARTBEATS = 30


class Watchdog:
    """Judges one worker by what each of its heartbeats finds."""

    def __init__(self) -> None:
        self._taken = 0
        self._idle_heartbeats = 0

    def beat(self, taken: int, queue_length: int, *, busy: bool) -> bool:
        """Whether the worker has stopped consuming.

        `taken` are the messages that it took since it started, stale ones too; it is `busy` while
        it has one in hand.
        """
        idle = not busy and taken == self._taken and queue_length > 0
        self._idle_heartbeats = self._idle_heartbeats + 1 if idle else 0
        self._taken = taken
        return self._idle_heartbeats >= IDLE_HEARTBEATS
