"""Starts a scheduler or a worker that ends itself at an event, at once, as `kill -9` would end it.

    python -m tests.faults.crash EVENT[:COUNT] scheduler [ARGUMENTS]
    python -m tests.faults.crash EVENT[:COUNT] worker

The event is one of scheduler/events.py, workers/events.py or a commit of the scheduler's; the count
is how often it happens before, 1 if it is left out. docs/crash-points.md lists all of them.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

from tapeworks.scheduler.events import Event as SchedulerEvent
from tapeworks.workers.events import Event as WorkerEvent
from tests.support.commits import Moment, ObservedDatabase


def names(events: Any) -> list[str]:
    """The names of all kinds of a stream's events."""
    return [kind.__name__ for kind in get_args(events)]


#: The points at which a scheduler and a worker can end.
OF_SCHEDULERS = [*names(SchedulerEvent), *get_args(Moment)]
OF_WORKERS = names(WorkerEvent)


class Crash:
    """Ends this process when an event has happened so often."""

    def __init__(self, at: str) -> None:
        self.point, _, count = at.partition(":")
        self._left = int(count or 1)
        if self.point not in {*OF_SCHEDULERS, *OF_WORKERS} or self._left < 1:
            raise ValueError(f"Expected an event, or one and a count from 1. Received: {at!r}.")

    def __call__(self, event: object) -> None:
        """Count the event, if it is the one."""
        name = event if isinstance(event, str) else type(event).__name__
        if name == self.point:
            self._left -= 1
        if self._left == 0:
            os.write(2, f"ending at {self.point}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)


def start_scheduler(crash: Crash, arguments: list[str]) -> int:
    """Start `tapeworks scheduler`, whose drivers and database tell the crash of their events."""
    from tapeworks.__main__ import run
    from tapeworks.cli import connection
    from tapeworks.cli.commands import scheduler
    from tapeworks.scheduler.driving.driver import Driver
    from tapeworks.scheduler.events import broadcast

    def driver(**parts: Any) -> Driver:
        return Driver(**parts | {"events": broadcast(parts["events"], crash)})

    def database(url: str | Path) -> ObservedDatabase:
        return ObservedDatabase(url, crash)

    with patch.object(scheduler, "Driver", driver), patch.object(connection, "Database", database):
        return run(["scheduler", *arguments])


def start_worker(crash: Crash) -> None:
    """Start a worker's process, which nobody starts again, with the crash as a second listener."""
    from tapeworks.wire.exchange import Exchange
    from tapeworks.workers import worker
    from tapeworks.workers.__main__ import main
    from tapeworks.workers.events import Event, log

    class DoomedWorker(worker.Worker):
        def __init__(self, exchange: Exchange) -> None:
            super().__init__(exchange, self._tell)

        def _tell(self, event: Event) -> None:
            log(event)
            crash(event)

    with patch.object(worker, "Worker", DoomedWorker):
        main()


if __name__ == "__main__":
    if sys.argv[2] == "worker":
        start_worker(Crash(sys.argv[1]))
    else:
        sys.exit(start_scheduler(Crash(sys.argv[1]), sys.argv[3:]))
