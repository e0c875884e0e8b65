"""`tapeworks resume`: have paused runs go on."""

from __future__ import annotations

import click

from tapeworks.changes import change_runs, json_option, runs_argument


@click.command("resume", epilog="Example: tapeworks resume first")
@runs_argument
@json_option
def command(runs: tuple[str, ...], json: bool) -> int:
    """Queue paused runs again; they go on where they stopped, to the same bits.

    RUN is an id, a unique prefix of one, or a name.
    """
    return change_runs(runs, json, lambda queue, run_id: queue.resume(run_id))
