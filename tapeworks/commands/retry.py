"""`tapeworks retry`: a new run from an old one's configuration, from its beginning or later."""

from __future__ import annotations

from typing import Any

import click

from tapeworks.commands.show import run_argument
from tapeworks.connection import connected_history
from tapeworks.describe import as_json, run_values
from tapeworks.descriptions import changed_settings, with_queue_options
from tapeworks.errors import ExitCode
from tapeworks.option_kinds import Whole
from tapeworks.output import put, say
from tapeworks.scheduler.submission import retry
from tapeworks.storage.records import RunStatus


@click.command(
    "retry", epilog="Example: tapeworks retry first --after 20 --set learning_rate=0.0005"
)
@run_argument
@click.option("--after", type=Whole(0), help="begin with the parameters after so many iterations")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="another setting")
@with_queue_options
@click.option("--json", is_flag=True, help="print the new run as JSON")
def command(
    run: str, after: int | None, changes: tuple[str, ...], described: dict[str, Any], json: bool
) -> int:
    """Queue a run's configuration again, from its beginning or from a checkpoint.

    Without other settings the new run has the bits that the old one has or would have had. Name,
    tags, note and priority are the old one's where they are not given. Prints the new run's id.
    """
    values = changed_settings(changes)
    history = connected_history()
    old = history.find_run(run)
    new = retry(history, old, after=after, changes=values, **described)
    put(as_json(run_values(history, new)) if json else new.id)
    waits = "Paused" if new.status is RunStatus.PAUSED else "Queued"
    say(f"{waits}. Follow it with: tapeworks watch {new.id}")
    return ExitCode.DONE
