"""`tapeworks scheduler`: takes queued runs and drives them, until it is stopped."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from tapeworks.cli.connection import connected_history
from tapeworks.cli.service import Service, with_service_options
from tapeworks.cluster.redis_rights import check_roles
from tapeworks.cluster.session import DRAINING, interruptible
from tapeworks.errors import EXPECTED, ExitCode, exit_code
from tapeworks.places import find_places
from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.scheduler.driving.driver import Driver
from tapeworks.scheduler.driving.heartbeat import Presence, Pulse
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.driving.outages import Beginning
from tapeworks.scheduler.driving.service import serve_several
from tapeworks.scheduler.errors import Interrupted, ServiceFailed
from tapeworks.scheduler.metering import UNMETERED, Meter
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tapeworks.storage.owners import current_owner
from tapeworks.storage.records import (
    Claim,
    EvaluationRecord,
    IterationRecord,
    RunRecord,
)
from tapeworks.wire.addresses import without_password
from tapeworks.wire.crash_points import at_commit
from tapeworks.wire.exchange import Exchange

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

logger = logging.getLogger(__name__)

#: Seconds between two lines about the runs in progress.
LINE_SECONDS = 5.0

#: Each run in progress is a thread and a connection to the database.
MOST_RUNS = 64

#: Kinds of notices that are no warnings.
GOOD_NEWS = {"going_on", "database_back"}


@click.command("scheduler", epilog="Example: tapeworks scheduler --max-runs 2")
@click.option(
    "--max-runs",
    type=click.IntRange(min=1, max=MOST_RUNS),
    default=1,
    show_default=True,
    help="runs to drive at the same time",
)
@with_service_options
def scheduler_command(max_runs: int, service: Service) -> int:
    """Drive queued runs with the workers of one Redis, until Ctrl-C.

    Takes the run of the highest priority first, of these the oldest; runs that no living worker
    can compute come after all others. Ctrl-C puts the runs in progress back into the queue after
    their iterations.
    """
    control = Control()
    with (
        service.registry() as registry,
        interruptible(control, DRAINING, service.tell_interrupt),
    ):
        try:
            _serve(max_runs, control, registry)
        except Interrupted:
            logger.debug("Interrupted before it could begin")
    _say("stopped", "Scheduler stopped")
    return ExitCode.INTERRUPTED


def _check_redis(exchange: Exchange) -> None:
    exchange.check()
    check_roles(exchange.url, "scheduler", "scheduler")


def _check_database(database: Database) -> None:
    database.check_schema()
    database.check_writable()  # a file that may only be read stays so


def _serve(max_runs: int, control: Control, registry: CollectorRegistry | None) -> None:
    """Wait for Redis and the database, then take runs until interrupted."""
    places, pulses = find_places(), [Pulse() for _ in range(max_runs)]
    signer = places.signer()
    exchange = Exchange(places.redis_url)
    history = connected_history(at_commit, checked=False)
    beginning = Beginning(control, _telling(UNMETERED), pulses)
    beginning.wait_for("Redis", lambda: _check_redis(exchange))
    with Presence(exchange, pulses):
        beginning.wait_for("the database", lambda: _check_database(history.database))
        drivers = [
            Driver(
                history=history,
                dispatcher=CeleryDispatcher(places.redis_url, signer, meter),
                control=control,
                on_notice=_telling(meter),
                owner=current_owner(part),
                pulse=pulse,
                meter=meter,
            )
            for part, (pulse, meter) in enumerate(
                zip(pulses, _meters(registry, max_runs, exchange, history), strict=True)
            )
        ]
        _say(
            "begins",
            f"Scheduler takes runs from {history.database.address} "
            f"for workers at {without_password(places.redis_url)}",
        )
        take_runs(drivers)


def take_runs(drivers: Sequence[Driver]) -> None:
    """Drive runs until interrupted. Raises `ServiceFailed` for what is no mistake in the call."""
    lines = _Lines()
    try:
        for happened in serve_several(drivers):
            lines.tell(happened)
    except EXPECTED as error:
        if exit_code(error) is not ExitCode.WRONG_USAGE:
            raise
        raise ServiceFailed(str(error)) from error


def _meters(
    registry: CollectorRegistry | None, count: int, exchange: Exchange, history: History
) -> Sequence[Meter]:
    """One for each driver."""
    if registry is None:
        return [UNMETERED] * count
    from tapeworks.metrics.scheduler import DatabasePlace, RedisPlace, SchedulerMetrics

    registry.register(RedisPlace(exchange))
    registry.register(DatabasePlace(history))
    metrics = SchedulerMetrics(registry)
    return [metrics.driver() for _ in range(count)]


def _telling(meter: Meter) -> Callable[[str, str], None]:
    """Return what a driver reports its notices to."""

    def tell(kind: str, message: str) -> None:
        meter.noticed(kind)
        level = logging.INFO if kind in GOOD_NEWS else logging.WARNING
        logger.log(level, message, extra={"event": kind})

    return tell


def _say(event: str, sentence: str, **fields: object) -> None:
    logger.info(sentence, extra={"event": event, **fields})


class _Lines:
    """The service's lines about its runs: beginning, end, and now and then their progress."""

    def __init__(self) -> None:
        self._said_at = float("-inf")
        self._accuracy: dict[str, str] = {}  #: of runs in progress, as evaluated last

    def tell(self, happened: Claim | IterationRecord | EvaluationRecord | RunRecord) -> None:
        match happened:
            case Claim():
                about = {"run": happened.run_id, "term": happened.term}
                _say("run_begins", f"Run {happened.run_id} begins", **about)
            case RunRecord():
                self._tell_of_end(happened)
            case EvaluationRecord():
                accuracy = f"accuracy {happened.accuracy:.1%} on held-out images"
                self._accuracy[happened.run_id] = accuracy
            case IterationRecord():
                self._tell_of_iteration(happened)

    def _tell_of_end(self, run: RunRecord) -> None:
        about = {"run": run.id, "term": run.term}
        if accuracy := self._accuracy.pop(run.id, ""):
            _say("run_evaluated", f"Run {run.id}: {accuracy}", **about)
        loss = "" if run.final_loss is None else f", loss {run.final_loss:.4f}"
        done = f"{run.completed_iterations} iterations{loss}"
        event = f"run_{run.status.value}"
        _say(event, f"Run {run.id} is {run.status.value} after {done}", **about)

    def _tell_of_iteration(self, record: IterationRecord) -> None:
        """A line now and then is enough for people."""
        if time.monotonic() - self._said_at <= LINE_SECONDS:
            level = logging.DEBUG
        else:
            level, self._said_at = logging.INFO, time.monotonic()
        done = f"iteration {record.iteration + 1}, loss {record.loss:.4f}"
        accuracy = self._accuracy.get(record.run_id, "")
        about = {"run": record.run_id, "term": record.term, "iteration": record.iteration}
        sentence = f"Run {record.run_id}: {', '.join(filter(None, [done, accuracy]))}"
        logger.log(level, sentence, extra={"event": "iteration_committed", **about})
