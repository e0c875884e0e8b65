"""`tapeworks cancel`: end runs for good."""

from __future__ import annotations

import click

from tapeworks.changes import change_runs, json_option, reason_option, runs_argument


@click.command("cancel", epilog='Example: tapeworks cancel first --reason "wrong data set"')
@runs_argument
@reason_option
@json_option
def command(runs: tuple[str, ...], reason: str | None, json: bool) -> int:
    """End runs for good; what is committed stays in the history.

    A run that is being driven ends within one iteration. RUN is an id, a unique prefix of one, or
    a name.
    """
    return change_runs(runs, json, lambda queue, run_id: queue.cancel(run_id, reason))
