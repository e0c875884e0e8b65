"""`tapeworks gc`: parameters that nobody needs any more, removed."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

import click

from tapeworks.connection import connected_history
from tapeworks.describe import as_json, size
from tapeworks.errors import ExitCode
from tapeworks.moments import Moment
from tapeworks.output import put, put_table, say
from tapeworks.storage.housekeeping import Pruned, prune
from tapeworks.storage.ranking import Metric

HEADERS = ("RUN", "NAME", "CHECKPOINTS", "SIZE")


@click.command("gc", epilog="Example: tapeworks gc --older-than 30d --keep-best accuracy --dry-run")
@click.option(
    "--older-than", type=Moment(), required=True, help="of runs that ended so long ago, or before"
)
@click.option(
    "--keep-best",
    type=click.Choice([metric.value for metric in Metric]),
    help="keep the parameters of the best evaluation too",
)
@click.option("--dry-run", is_flag=True, help="remove nothing; show what would be removed")
@click.option("--shrink", is_flag=True, help="give the room back to the disk; SQLite only")
@click.option("--json", is_flag=True, help="print JSON")
def command(
    older_than: datetime, keep_best: str | None, dry_run: bool, shrink: bool, json: bool
) -> int:
    """Remove checkpoints of runs that ended long ago, but for the initial and the newest ones.

    Losses, ledgers and everything else stay, and replay can compute all parameters again.
    """
    metric = Metric(keep_best) if keep_best else None
    database = connected_history().database
    pruned = prune(database, older_than, metric, dry_run=dry_run)
    if json:
        put(as_json([asdict(one) for one in pruned]))
    elif pruned:
        put_table(HEADERS, [_row(one) for one in pruned])
    what = f"{sum(len(one.checkpoints) for one in pruned)} checkpoints of {len(pruned)} runs"
    room = size(sum(one.bytes for one in pruned))
    say(f"{'Would remove' if dry_run else 'Removed'} {what}, {room}")
    if shrink and not dry_run:
        database.shrink()
    return ExitCode.DONE


def _row(pruned: Pruned) -> tuple[str, ...]:
    count = str(len(pruned.checkpoints))
    return pruned.run_id, pruned.name or "-", count, size(pruned.bytes)
