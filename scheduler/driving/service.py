"""The long-running scheduler: takes queued runs by priority, then age, and drives each."""

from __future__ import annotations

import logging
import queue
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from tapeworks.scheduler.driving.driver import Driver, defect
from tapeworks.scheduler.errors import (
    OF_ALL_RUNS,
    OF_ONE_RUN,
    Interrupted,
    RunFailed,
    Unreleased,
)
from tapeworks.storage.errors import HistoryRolledBack, LeaseLost
from tapeworks.storage.records import (
    Claim,
    EvaluationRecord,
    IterationRecord,
    RunRecord,
)
from tapeworks.wire.log_context import about
from tapeworks.wire.messages import SchedulerState

logger = logging.getLogger(__name__)

#: Seconds between two looks at an empty queue of runs.
IDLE_SECONDS = 0.5

#: Of each run its claim, what `Driver.drive` yields, and its record when it was left.
Happened = Claim | IterationRecord | EvaluationRecord | RunRecord


def serve(driver: Driver) -> Iterator[Happened]:
    """Drive one run after the other until interrupted.

    A run that fails is in the history as such and does not stop the service, nor does an outage
    of the database. A run that cannot go on, or whose driving meets an unexpected error, is paused
    with the reason, so that it is not taken again before a person resumes it.
    """
    while not driver.control.draining:
        driver.pulse.beat(SchedulerState.IDLE)
        try:
            claim = driver.claim_next()
        except Interrupted:
            return
        if claim is None:
            driver.control.wait(IDLE_SECONDS)
            continue
        yield claim
        with about(run=claim.run_id, term=claim.term):
            if not (yield from _driven(driver, claim)):
                return


def _driven(driver: Driver, claim: Claim) -> Generator[Happened, None, bool]:
    """Drive a run until it is left; whether to go on with the next."""
    try:
        yield from driver.drive(claim)
        yield driver.patient().find_run(claim.run_id)
    except (LeaseLost, HistoryRolledBack) as error:
        driver.meter.lost()
        driver.on_notice("lease_lost", f"Run {claim.run_id}: {error}")
    except (RunFailed, *OF_ONE_RUN) as error:
        driver.on_notice("run_left", f"Run {claim.run_id}: {error}")
    except Unreleased as error:
        driver.on_notice("run_left", str(error))
        return False
    except Interrupted:
        return False
    except OF_ALL_RUNS:
        raise
    except Exception as error:
        reason = f"Run {claim.run_id} is paused. {defect(error)}"
        logger.exception(reason, extra={"event": "run_paused"})
        driver.on_notice("run_left", reason)
    return True


def serve_several(drivers: Sequence[Driver]) -> Iterator[Happened]:
    """Drive as many runs at once as there are drivers, each in a thread, until interrupted.

    The drivers share one control; each has a dispatcher and an owner of its own.
    """
    happened: queue.SimpleQueue[Happened | None] = queue.SimpleQueue()
    with ThreadPoolExecutor(len(drivers)) as threads:
        try:
            ends = [threads.submit(_pass_on, driver, happened) for driver in drivers]
            for _ in drivers:
                while (one := happened.get()) is not None:
                    yield one
            for end in ends:
                end.result()
        finally:
            for driver in drivers:
                driver.control.drain()


def _pass_on(driver: Driver, happened: queue.SimpleQueue[Happened | None]) -> None:
    """Serve, and say so when it is over. A defect of one driver stops them all."""
    try:
        for one in serve(driver):
            happened.put(one)
    finally:
        driver.pulse.end()
        driver.control.drain()
        happened.put(None)
