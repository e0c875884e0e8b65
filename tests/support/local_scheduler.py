"""A scheduler as a process of its own that computes by itself, for tests that freeze or kill it.

    python -m tests.support.local_scheduler DATABASE LEASE_SECONDS [FREEZE_AT [LONGEST_WAIT]]

Takes runs until its input ends. Says `ready` when it could begin, begins at the first line of
input, and says how each run was left. It stops itself (SIGSTOP) inside the transaction of this
number, or after the iteration of this number is committed or computed: FREEZE_AT is `commit:N`,
`iteration:N` or `computed:N`. Iterations wait for so many seconds to be committed together, or not
at all.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from tapeworks.model import datasets
from tapeworks.scheduler import committing
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.driving.driver import Driver
from tapeworks.scheduler.driving.keeper import Control, Lease
from tapeworks.scheduler.driving.service import serve
from tapeworks.scheduler.events import (
    Event,
    IterationCommitted,
    IterationComputed,
    Notice,
    RunReleased,
)
from tapeworks.storage.history import History
from tests.support.commits import Moment, ObservedDatabase
from tests.support.desk import SMALL
from tests.support.training import settings


class _Freezing:
    """Stops this process once, when the count of what it is shown arrives at a number."""

    def __init__(self, kind: str, freeze_at: str) -> None:
        wanted, _, number = freeze_at.partition(":")
        self._left = int(number) if wanted == kind else -1

    def count(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGSTOP)


def _drain_at_the_end_of_input(control: Control) -> None:
    sys.stdin.read()
    control.drain()


def main(url: str, lease_seconds: str, freeze_at: str = "", longest_wait: str = "0") -> None:
    committing.LONGEST_WAIT_SECONDS = float(longest_wait)
    commits, iterations = _Freezing("commit", freeze_at), _Freezing("iteration", freeze_at)
    computed = _Freezing("computed", freeze_at)

    def observe(moment: Moment) -> None:
        if moment == "before_commit":
            commits.count()

    def listen(event: Event) -> None:
        match event:
            case Notice():
                print(event.kind, event.message, flush=True)
            case IterationComputed():
                computed.count()
            case IterationCommitted():
                iterations.count()
            case RunReleased(run=run):
                print("left", run.id, run.status.value, flush=True)

    lease = float(lease_seconds)
    config, control, local = settings(**SMALL), Control(), LocalDispatcher()
    data = datasets.load(config)
    local.prepare(config.spec)
    driver = Driver(
        history=History(ObservedDatabase(url, observe)),
        dispatcher=local,
        control=control,
        load=lambda _: data,
        events=listen,
        lease=Lease(seconds=lease, renew_seconds=lease / 4),
    )
    print("ready", flush=True)
    sys.stdin.readline()
    threading.Thread(target=_drain_at_the_end_of_input, args=[control], daemon=True).start()
    serve(driver)
    driver.history.database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
