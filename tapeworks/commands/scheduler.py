"""`tapeworks scheduler`: takes queued runs and drives them, until it is stopped."""

from __future__ import annotations

import time

import click

from scheduler.celery_dispatcher import CeleryDispatcher
from scheduler.control import Control
from scheduler.driving import Driver
from scheduler.presence import Presence
from scheduler.service import serve_several
from storage.owners import current_owner
from storage.records import Claim, EvaluationRecord, IterationRecord, RunRecord
from tapeworks.connection import connected_history
from tapeworks.errors import ExitCode
from tapeworks.output import say
from tapeworks.session import DRAINING, interruptible
from tapeworks.settings import settings
from workers.addresses import without_password
from workers.crash_points import at_commit
from workers.exchange import Exchange

#: Seconds between two lines about the runs in progress.
LINE_SECONDS = 5.0

#: Each run in progress is a thread and a connection to the database.
MOST_RUNS = 64


@click.command("scheduler", epilog="Example: tapeworks scheduler --max-runs 2")
@click.option(
    "--max-runs",
    type=click.IntRange(min=1, max=MOST_RUNS),
    default=1,
    show_default=True,
    help="runs to drive at the same time",
)
def command(max_runs: int) -> int:
    """Drive queued runs with the workers of one Redis, until Ctrl-C.

    Takes the run of the highest priority first, of these the oldest. Ctrl-C puts the runs in
    progress back into the queue after their iterations.
    """
    places, control = settings(), Control()
    exchange = Exchange(places.redis_url)
    exchange.check()
    history = connected_history(at_commit)
    drivers = [
        Driver(
            history=history,
            dispatcher=CeleryDispatcher(places.redis_url),
            control=control,
            on_notice=lambda _, message: say(message),
            owner=current_owner(part),
        )
        for part in range(max_runs)
    ]
    say(
        f"Scheduler takes runs from {history.database.address} "
        f"for workers at {without_password(places.redis_url)}"
    )
    pulses = [driver.pulse for driver in drivers]
    with interruptible(control, DRAINING), Presence(exchange, pulses):
        lines = _Lines()
        for happened in serve_several(drivers):
            lines.tell(happened)
    say("Scheduler stopped")
    return ExitCode.INTERRUPTED


class _Lines:
    """What the service says of its runs: beginning and end, and a line now and then."""

    def __init__(self) -> None:
        self._said_at = float("-inf")
        self._accuracy: dict[str, str] = {}  #: of runs in progress, as evaluated last

    def tell(self, happened: Claim | IterationRecord | EvaluationRecord | RunRecord) -> None:
        if isinstance(happened, Claim):
            say(f"Run {happened.run_id} begins")
        elif isinstance(happened, RunRecord):
            if accuracy := self._accuracy.pop(happened.id, ""):
                say(f"Run {happened.id}: {accuracy}")
            loss = "" if happened.final_loss is None else f", loss {happened.final_loss:.4f}"
            done = f"{happened.completed_iterations} iterations{loss}"
            say(f"Run {happened.id} is {happened.status.value} after {done}")
        elif isinstance(happened, EvaluationRecord):
            accuracy = f"accuracy {happened.accuracy:.1%} on held-out images"
            self._accuracy[happened.run_id] = accuracy
        elif time.monotonic() - self._said_at > LINE_SECONDS:
            self._said_at = time.monotonic()
            done = f"iteration {happened.iteration + 1}, loss {happened.loss:.4f}"
            accuracy = self._accuracy.get(happened.run_id, "")
            say(f"Run {happened.run_id}: {', '.join(filter(None, [done, accuracy]))}")
