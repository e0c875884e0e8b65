"""Runs driven inside the test's own process, and what two equal runs must share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tapeworks.model.config import RunConfig, run_config
from tapeworks.model.parameters import Arrays, digest, history_digest
from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.scheduler.dispatch.contract import Dispatcher
from tapeworks.scheduler.driving.driver import Driver
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.events import IterationCommitted, Notice, broadcast
from tapeworks.scheduler.submission import prepare_runs, submit
from tapeworks.storage.history import History
from tapeworks.storage.owners import current_owner
from tapeworks.storage.records import IterationRecord, RunRecord, RunStatus
from tapeworks.wire.exchange import Exchange
from tests.support.listeners import on

#: Of a test's run, unless it says otherwise: seven microbatches in each of a few iterations. The
#: network is the golden one, which every worker has compiled when it is ready.
SETTINGS: dict[str, Any] = {
    "images": 100,
    "microbatch_size": 16,
    "iterations": 6,
    "learning_rate": 0.001,
    "seed": 7,
}

#: Seconds that a claim in a test holds without renewal.
LEASE_SECONDS = 600.0

#: What looks on when an iteration was committed.
OnIteration = Callable[[IterationRecord], None]


@dataclass(frozen=True, kw_only=True)
class Digests:
    """The digests that two equal runs share."""

    parameters: str
    history: str
    image_values: str  #: of every image in every iteration, in order


@dataclass(frozen=True, kw_only=True)
class Driven:
    """A run that was driven here, and what was noticed meanwhile."""

    run: RunRecord
    digests: Digests
    notices: list[tuple[str, str]]

    def said(self, kind: str) -> list[str]:
        """The sentences of one kind of notice."""
        return [message for found, message in self.notices if found == kind]


def settings(**values: Any) -> RunConfig:
    """A short run's configuration."""
    return run_config(SETTINGS | values)


def digests(history: History, run_id: str) -> Digests:
    """The digests that equal runs share, of all that is stored."""
    records = history.iterations(run_id)
    values = history.image_values_of(run_id, [record.iteration for record in records])
    return Digests(
        parameters=history.find_run(run_id).parameters_digest,
        history=history_digest([record.loss for record in records]),
        image_values=digest(repr(values).encode()),
    )


def submitted(
    history: History,
    config: RunConfig,
    initial: Arrays | None = None,
    *,
    name: str | None = None,
) -> RunRecord:
    """A new run in the history."""
    [prepared] = prepare_runs([config])
    begun = replace(prepared, parameters=initial) if initial else prepared
    return submit(history, begun, name=name)


def through(exchange: Exchange) -> CeleryDispatcher:
    """The Celery dispatcher, with another exchange between it and Redis."""
    dispatcher = CeleryDispatcher(exchange.url)
    dispatcher._link.exchange = exchange
    return dispatcher


def drive(
    history: History,
    dispatcher: Dispatcher,
    run: RunRecord,
    *,
    control: Control | None = None,
    stop_after: int | None = None,
    on_iteration: OnIteration = lambda _: None,
    on_notice: Callable[[str, str], None] = lambda *_: None,
) -> Driven:
    """Drive a run to its end, or until so many of its iterations are committed."""
    notices = list[tuple[str, str]]()

    def heard(event: Notice) -> None:
        notices.append((event.kind, event.message))
        on_notice(event.kind, event.message)

    committed = on(IterationCommitted, lambda event: on_iteration(event.record))

    driver = Driver(
        history=history,
        dispatcher=dispatcher,
        control=control or Control(stop_after),
        stopped_status=RunStatus.PAUSED,
        events=broadcast(on(Notice, heard), committed),
    )
    driver.drive(history.claim(run.id, current_owner(), LEASE_SECONDS))
    return Driven(run=history.find_run(run.id), digests=digests(history, run.id), notices=notices)


def database(directory: Path) -> History:
    """A new history in a file."""
    return History.open(directory / "runs.db")
