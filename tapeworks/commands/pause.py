"""`tapeworks pause`: have runs stop for a while."""

from __future__ import annotations

import click

from tapeworks.changes import change_runs, json_option, reason_option, runs_argument


@click.command("pause", epilog='Example: tapeworks pause first --reason "the machines are needed"')
@runs_argument
@reason_option
@json_option
def command(runs: tuple[str, ...], reason: str | None, json: bool) -> int:
    """Stop runs after the iteration in progress, until they are resumed.

    A queued run is not taken any more. RUN is an id, a unique prefix of one, or a name.
    """
    return change_runs(runs, json, lambda queue, run_id: queue.pause(run_id, reason))
