"""Listeners to a scheduler's events that do one thing each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.events import Event, Listener, RunReleased

_Event = TypeVar("_Event", bound=Event)


def on(kind: type[_Event], act: Callable[[_Event], object]) -> Listener:
    """Act at every event of one kind."""

    def listen(event: Event) -> None:
        if isinstance(event, kind):
            act(event)

    return listen


def drain_after(control: Control, run_id: str | None = None) -> Listener:
    """Stop a service as soon as this run, or any, was released in order."""

    def drain(event: RunReleased) -> None:
        if run_id in (None, event.run.id):
            control.drain()

    return on(RunReleased, drain)
