"""A worker that gets ready and then listens to a queue to which nobody sends."""

from __future__ import annotations

from tapeworks.workers import __main__ as worker
from tapeworks.workers import worker as watchdog

if __name__ == "__main__":
    watchdog.IDLE_HEARTBEATS = 3
    worker.ARGUMENTS += ["--queues", "elsewhere"]
    worker.main()
