"""`tapeworks runs`: what was trained, is, and will be."""

from __future__ import annotations

from dataclasses import asdict

import click

from storage.records import RunRecord
from tapeworks.connection import connected_history
from tapeworks.describe import as_json, clock
from tapeworks.errors import ExitCode
from tapeworks.output import put, put_table, say

HEADERS = ("RUN", "NAME", "STATUS", "ITERATIONS", "FIRST LOSS", "LAST LOSS", "CREATED")


@click.command("runs")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="how many, newest first",
)
@click.option("--json", is_flag=True, help="print JSON")
def command(limit: int, json: bool) -> int:
    """List the runs, newest first."""
    history = connected_history()
    history.release_abandoned()
    runs = history.runs(limit)
    if json:
        put(as_json([asdict(run) for run in runs]))
    elif runs:
        put_table(HEADERS, [_row(run) for run in runs])
    else:
        say("There is no run yet; start one with: tapeworks train")
    return ExitCode.DONE


def _row(run: RunRecord) -> tuple[str, ...]:
    losses = [run.first_loss, run.final_loss]
    return (
        run.id,
        run.name or "-",
        run.status.value,
        f"{run.completed_iterations}/{run.iterations}",
        *("-" if loss is None else f"{loss:.4f}" for loss in losses),
        clock(run.created_at),
    )
