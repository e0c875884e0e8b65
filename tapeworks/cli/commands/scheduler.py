"""`tapeworks scheduler`: takes queued runs and drives them, until it is stopped."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from tapeworks.cli.connection import describe_new, open_history
from tapeworks.cli.option_kinds import Whole
from tapeworks.cli.service_options import Service, with_service_options
from tapeworks.cluster.redis_rights import check_roles
from tapeworks.cluster.session import DRAINING, interruptible
from tapeworks.errors import EXPECTED, ExitCode, exit_code
from tapeworks.places import find_places
from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.scheduler.driving.driver import Driver
from tapeworks.scheduler.driving.heartbeat import Heartbeat
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.driving.log import Log
from tapeworks.scheduler.driving.retrying import Beginning
from tapeworks.scheduler.driving.service import serve_several
from tapeworks.scheduler.errors import Interrupted, ServiceFailed
from tapeworks.scheduler.events import (
    Event,
    Listener,
    RunClaimed,
    RunLeft,
    broadcast,
    ignore,
)
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tapeworks.storage.owners import current_owner
from tapeworks.wire.addresses import without_password
from tapeworks.wire.exchange import Exchange

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

logger = logging.getLogger(__name__)

#: Each run in progress is a thread and a connection to the database.
MOST_RUNS = 64


@click.command("scheduler", epilog="Example: tapeworks scheduler --max-runs 2")
@click.option(
    "--max-runs",
    type=Whole(1, MOST_RUNS),
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
    control, in_hand = Control(), InHand()
    with (
        service.registry() as registry,
        interruptible(
            control, DRAINING, service.tell_interrupt, is_busy=lambda: bool(in_hand.runs)
        ),
    ):
        try:
            _serve(max_runs, control, registry, in_hand)
        except Interrupted:
            logger.debug("Interrupted before it could begin")
    _say("stopped", "Scheduler stopped")
    return ExitCode.INTERRUPTED


class InHand:
    """The runs that are driven at the moment; a signal's handler may look at any time."""

    def __init__(self) -> None:
        self.runs: dict[str, None] = {}

    def __call__(self, event: Event) -> None:
        """Remember a run that is claimed or left."""
        if isinstance(event, RunClaimed):
            self.runs[event.claim.run_id] = None
        elif isinstance(event, RunLeft):
            self.runs.pop(event.run_id, None)


def _check_redis(exchange: Exchange) -> None:
    exchange.check()
    check_roles(exchange.url, "scheduler", "scheduler")


def _check_database(database: Database) -> None:
    if database.ensure_schema():
        _say("database_made", describe_new(database))
    database.check_writable()  # a file that may only be read stays so


def _serve(
    max_runs: int, control: Control, registry: CollectorRegistry | None, in_hand: Listener
) -> None:
    """Wait for Redis and the database, then take runs until interrupted."""
    places, log = find_places(), Log()
    signer = places.signer()
    exchange = Exchange(places.redis_url)
    history = open_history(checked=False)
    heartbeat = Heartbeat(exchange, max_runs)
    beginning = Beginning(control, broadcast(*heartbeat.drivers, log))
    beginning.wait_for("Redis", lambda: _check_redis(exchange))
    with heartbeat:
        beginning.wait_for("the database", lambda: _check_database(history.database))
        heartbeat.serve(history.database.read_id(), history.database.address)
        metrics = _metrics(registry, max_runs, exchange, history)
        drivers = [
            Driver(
                history=history,
                dispatcher=CeleryDispatcher(places.redis_url, signer),
                control=control,
                events=broadcast(heartbeat.drivers[part], metrics[part], in_hand, log),
                owner=current_owner(part),
            )
            for part in range(max_runs)
        ]
        _say(
            "begins",
            f"Scheduler takes runs from {history.database.address} "
            f"for workers at {without_password(places.redis_url)}",
        )
        take_runs(drivers)


def take_runs(drivers: Sequence[Driver]) -> None:
    """Drive runs until interrupted. Raises `ServiceFailed` for what is no mistake in the call."""
    try:
        serve_several(drivers)
    except EXPECTED as error:
        if exit_code(error) is not ExitCode.WRONG_USAGE:
            raise
        raise ServiceFailed(str(error)) from error


def _metrics(
    registry: CollectorRegistry | None, drivers: int, exchange: Exchange, history: History
) -> Sequence[Listener]:
    """Return a listener for each driver."""
    if registry is None:
        return [ignore] * drivers
    from tapeworks.metrics.scheduler import DatabasePlace, RedisPlace, SchedulerMetrics

    registry.register(RedisPlace(exchange))
    registry.register(DatabasePlace(history))
    metrics = SchedulerMetrics(registry)
    return [metrics.driver() for _ in range(drivers)]


def _say(event: str, sentence: str) -> None:
    logger.info(sentence, extra={"event": event})
