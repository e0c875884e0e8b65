"""`tapeworks workers`: who is there to compute."""

from __future__ import annotations

from datetime import datetime

import click

from tapeworks.describe import as_json, clock
from tapeworks.errors import ExitCode
from tapeworks.output import put, put_table, say
from tapeworks.settings import settings
from tapeworks.workers.exchange import Exchange
from tapeworks.workers.messages import WorkerRecord
from tapeworks.workers.versions import tapeworks_version

HEADERS = ("WORKER", "STATE", "SINCE", "SHARD", "IMAGES", "IMAGES/S", "MEMORY", "FINGERPRINT")


@click.command("workers", epilog="Example: tapeworks workers --json")
@click.option("--json", is_flag=True, help="print JSON")
def command(json: bool) -> int:
    """Show the workers that are alive, what each has in hand, and the runs that do not trust it."""
    exchange = Exchange(settings().redis_url)
    workers, aside = exchange.workers(), exchange.set_aside_workers()
    if json:
        values = [w.model_dump() | {"set_aside_for": aside.get(w.name, [])} for w in workers]
        put(as_json(values))
    elif workers:
        rows = [_row(worker, aside.get(worker.name, [])) for worker in workers]
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


def _row(worker: WorkerRecord, set_aside_for: list[str]) -> tuple[str, ...]:
    aside = f", set aside for {' '.join(set_aside_for)}" if set_aside_for else ""
    return (
        worker.name,
        worker.state + aside,
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
