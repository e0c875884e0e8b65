"""`tapeworks worker` and `tapeworks workers`: start workers here, and list all that are alive."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tapeworks.cli.option_kinds import PathType, Whole
from tapeworks.cli.outputs.describe import as_json, clock
from tapeworks.cli.outputs.printing import put, put_table, say
from tapeworks.cli.own_places import find_own_places
from tapeworks.cli.service_options import Service, SettingOption, with_service_options
from tapeworks.cluster.redis_rights import check_roles
from tapeworks.cluster.session import interruptible
from tapeworks.errors import ExitCode
from tapeworks.model.settings import Settings
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.wire.addresses import without_password
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.messages import WorkerRecord
from tapeworks.wire.versions import tapeworks_version
from tapeworks.workers.events import Outages
from tapeworks.workers.sources import allow_networks, check_sources
from tapeworks.workers.stages import Stage
from tapeworks.workers.supervisor import Supervisor

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

logger = logging.getLogger(__name__)

#: Seconds between two looks at the processes.
LOOK_SECONDS = 0.5

HEADERS = ("WORKER", "STATE", "SINCE", "SHARD", "IMAGES", "IMAGES/S", "MEMORY", "FINGERPRINT")


@click.command("worker", epilog="Example: tapeworks worker --processes 2")
@click.option(
    "--processes",
    type=Whole(1),
    default=1,
    show_default=True,
    help="worker processes, at best one per core",
)
@click.option(
    "--no-pin",
    is_flag=True,
    help="let the system place the processes; else each has its own core if there are as many",
)
@click.option(
    "--networks",
    type=PathType(),
    cls=SettingOption,
    setting=Settings.networks,
    help="run users' networks whose very files lie in this directory",
)
@click.option(
    "--accept-networks",
    is_flag=True,
    cls=SettingOption,
    setting=Settings.accept_networks,
    help="run every network that is signed with the key of TAPEWORKS_SIGNING_KEY_FILE",
)
@with_service_options
def worker_command(
    processes: int, no_pin: bool, networks: Path | None, accept_networks: bool, service: Service
) -> int:
    """Compute shards for the scheduler that uses the same Redis, until Ctrl-C.

    Needs the Redis at TAPEWORKS_REDIS_URL and nothing else: no database, no data set. A network of
    a user's is code: it is run if this command allows it, and left to other workers else.
    """
    with service.registry() as registry:
        places, control = find_own_places(), Control()
        url, exchange = places.redis_url, Exchange(places.redis_url, places.signer())
        allowed = allow_networks(networks, accepts=accept_networks)
        check_sources(Settings(allowed), exchange.signer)
        exchange.check()
        check_roles(url, "worker", "worker")
        environment = service.process_logs.environment() | allowed
        supervisor = Supervisor(url, processes, environment=environment, pinned=not no_pin)
        arrivals = _Arrivals(exchange, supervisor)
        _measure(registry, supervisor, exchange)
        with interruptible(control, "Stopping after the shards in hand", service.tell_interrupt):
            workers = "1 worker" if processes == 1 else f"{processes} workers"
            _say("begins", f"Starting {workers} for {without_password(url)}")
            supervisor.start()
            try:
                while not control.wait(LOOK_SECONDS):
                    supervisor.check()
                    arrivals.look()
            finally:
                supervisor.stop(hurried=lambda: control.abandoning)
        _say("stopped", "Workers stopped")
    return ExitCode.INTERRUPTED


def _measure(
    registry: CollectorRegistry | None, supervisor: Supervisor, exchange: Exchange
) -> None:
    if registry is not None:
        from tapeworks.metrics.worker import WorkerProcesses

        registry.register(WorkerProcesses(supervisor, exchange))


def _say(event: str, sentence: str, worker: str | None = None) -> None:
    logger.info(sentence, extra={"event": event, "worker": worker})


class _Arrivals:
    """Says how far workers are, which have become ready, and whether they can reach Redis."""

    def __init__(self, exchange: Exchange, supervisor: Supervisor) -> None:
        self._exchange, self._supervisor = exchange, supervisor
        self._outages = Outages()
        self._known = set[str]()
        self._stage = Stage.STARTING

    def look(self) -> None:
        """Say what has changed since the look before."""
        if (stage := self._supervisor.stage) > self._stage:  # of the first start alone
            self._stage = stage
            if stage is not Stage.READY:
                _say("starting", stage.sentence)
        with self._outages.watch():
            ready = {one.name for one in self._supervisor.ready(self._exchange.workers())}
            for name in sorted(ready - self._known):
                _say("worker_ready", f"Worker {name} is ready", name)
            self._known |= ready


@click.command("workers", epilog="Example: tapeworks workers --json")
@click.option("--json", is_flag=True, help="print JSON")
def workers_command(json: bool) -> int:
    """Show the living workers, what each has in hand, and the runs that do not trust it."""
    exchange = Exchange(find_own_places().redis_url)
    workers, quarantined = exchange.workers(), exchange.list_quarantined()
    if json:
        values = [
            w.model_dump() | {"quarantined_for": quarantined.get(w.name, [])} for w in workers
        ]
        put(as_json(values))
    elif workers:
        rows = [_row(worker, quarantined.get(worker.name, [])) for worker in workers]
        _put(rows, [worker.version or "older" for worker in workers])
    else:
        say("No worker is alive; start one with: tapeworks worker")
    return ExitCode.DONE


def _put(rows: list[tuple[str, ...]], versions: list[str]) -> None:
    """The table; with the workers' versions if they are not all this one's."""
    if {tapeworks_version()} == set(versions):
        put_table(HEADERS, rows)
    else:
        told = [(*row, version) for row, version in zip(rows, versions, strict=True)]
        put_table((*HEADERS, "VERSION"), told)


def _row(worker: WorkerRecord, quarantined_for: list[str]) -> tuple[str, ...]:
    quarantined = f", quarantined for {' '.join(quarantined_for)}" if quarantined_for else ""
    return (
        worker.name,
        worker.state + quarantined,
        _since(worker),
        worker.shard_in_hand or "-",
        f"{worker.images}",
        f"{worker.images_per_second:,.0f}",
        f"{worker.memory_mb:,.0f} MB",
        worker.fingerprint or "-",
    )


def _since(worker: WorkerRecord) -> str:
    try:
        return clock(datetime.fromisoformat(worker.since))
    except (ValueError, OverflowError):  # what others write into Redis is shown as it is
        return worker.since
