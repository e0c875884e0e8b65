"""`tapeworks priority`: which queued runs are taken first."""

from __future__ import annotations

import click

from tapeworks.changes import change_runs, json_option, runs_argument
from tapeworks.descriptions import priority_type


@click.command(
    "priority",
    context_settings={"ignore_unknown_options": True},  # -5 is a priority
    epilog="Example: tapeworks priority 10 urgent",
)
@click.argument("priority", type=priority_type)
@runs_argument
@json_option
def command(priority: int, runs: tuple[str, ...], json: bool) -> int:
    """Set the PRIORITY of runs: a higher one is taken first; new runs have 0.

    A run that is being driven keeps its scheduler. RUN is an id, a unique prefix of one, or a name.
    """
    return change_runs(runs, json, lambda queue, run_id: queue.set_priority(run_id, priority))
