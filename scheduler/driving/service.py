"""The long-running scheduler: takes queued runs by priority, then age, and drives each."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tapeworks.scheduler.driving.driver import Driver, defect
from tapeworks.scheduler.errors import OF_ALL_RUNS, OF_ONE_RUN, Interrupted, RunFailed, Unreleased
from tapeworks.scheduler.events import Alive, DriverEnded, Notice, RunReleased
from tapeworks.storage.errors import HistoryRolledBack, LeaseLost
from tapeworks.storage.records import Claim
from tapeworks.wire.log_context import about
from tapeworks.wire.messages import SchedulerState

logger = logging.getLogger(__name__)

#: Seconds between two looks at an empty queue of runs.
IDLE_SECONDS = 0.5


def serve(driver: Driver) -> None:
    """Drive one run after the other until interrupted.

    A run that fails is in the history as such and does not stop the service, nor does an outage
    of the database. A run that cannot go on, or whose driving meets an unexpected error, is paused
    with the reason, so that it is not taken again before a person resumes it.
    """
    while not driver.control.draining:
        driver.events(Alive(SchedulerState.IDLE))
        try:
            claim = driver.claim_next()
        except Interrupted:
            return
        if claim is None:
            driver.control.wait(IDLE_SECONDS)
            continue
        with about(run=claim.run_id, run_name=claim.name, term=claim.term):
            if not _drive(driver, claim):
                return


def _drive(driver: Driver, claim: Claim) -> bool:
    """Drive a run until it is left; return whether to go on with the next."""
    try:
        driver.drive(claim)
        driver.events(RunReleased(driver.patient().find_run(claim.run_id)))
    except (LeaseLost, HistoryRolledBack) as error:
        driver.events(Notice("lease_lost", f"Run {claim.label}: {error}"))
    except (RunFailed, *OF_ONE_RUN) as error:
        driver.events(Notice("run_left", f"Run {claim.label}: {error}"))
    except Unreleased as error:
        driver.events(Notice("run_left", str(error)))
        return False
    except Interrupted:
        return False
    except OF_ALL_RUNS:
        raise
    except Exception as error:
        reason = f"Run {claim.label} is paused. {defect(error)}"
        logger.exception(reason, extra={"event": "run_paused"})
        driver.events(Notice("run_left", reason))
    return True


def serve_several(drivers: Sequence[Driver]) -> None:
    """Drive as many runs at once as there are drivers, each in a thread, until interrupted.

    The drivers share one control; each has a dispatcher and an owner of its own. A defect of one
    stops them all.
    """
    with ThreadPoolExecutor(len(drivers)) as threads:
        try:
            for end in [threads.submit(_serve_in_thread, driver) for driver in drivers]:
                end.result()
        finally:
            for driver in drivers:
                driver.control.drain()


def _serve_in_thread(driver: Driver) -> None:
    try:
        serve(driver)
    finally:
        driver.control.drain()
        driver.events(DriverEnded())
