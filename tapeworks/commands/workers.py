"""`tapeworks workers`: who is there to compute."""

from __future__ import annotations

from datetime import datetime

import click

from tapeworks.describe import as_json, clock
from tapeworks.errors import ExitCode
from tapeworks.output import put, put_table, say
from tapeworks.settings import settings
from workers.exchange import Exchange
from workers.messages import WorkerRecord

HEADERS = ("WORKER", "STATE", "SINCE", "SHARD", "IMAGES", "IMAGES/S", "MEMORY", "FINGERPRINT")


@click.command("workers")
@click.option("--json", is_flag=True, help="print JSON")
def command(json: bool) -> int:
    """Show the workers that are alive, and what each has in hand."""
    workers = Exchange(settings().redis_url).workers()
    if json:
        put(as_json([worker.model_dump() for worker in workers]))
    elif workers:
        put_table(HEADERS, [_row(worker) for worker in workers])
    else:
        say("No worker is alive; start one with: tapeworks worker")
    return ExitCode.DONE


def _row(worker: WorkerRecord) -> tuple[str, ...]:
    return (
        worker.name,
        worker.state,
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
