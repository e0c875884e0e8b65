"""The long-running scheduler: takes queued runs, oldest first, and drives each to its end."""

from __future__ import annotations

from collections.abc import Iterator

from scheduler.driving import Driver
from scheduler.errors import CannotContinueHere, Interrupted, RunFailed, Unreleased
from storage.errors import LeaseLost
from storage.records import Claim, EvaluationRecord, IterationRecord, RunRecord

#: Seconds between two looks at an empty queue of runs.
IDLE_SECONDS = 0.5


def serve(driver: Driver) -> Iterator[Claim | IterationRecord | EvaluationRecord | RunRecord]:
    """Drive runs until interrupted: of each its claim, what `Driver.drive` yields, its record.

    A run that fails is in the history as such and does not stop the service, nor does an outage
    of the database.
    """
    while not driver.control.draining:
        try:
            claim = driver.claim_next()
        except Interrupted:
            return
        if claim is None:
            driver.control.wait(IDLE_SECONDS)
            continue
        yield claim
        try:
            yield from driver.drive(claim)
            yield driver.patient().find_run(claim.run_id)
        except (RunFailed, LeaseLost, CannotContinueHere) as error:
            driver.on_notice("run_left", f"Run {claim.run_id}: {error}")
        except Unreleased as error:
            driver.on_notice("run_left", str(error))
            return
        except Interrupted:
            return
