"""`tapeworks delete`: runs and their history, gone for good."""

from __future__ import annotations

import sys

import click

from tapeworks.changes import runs_argument
from tapeworks.connection import connected_history
from tapeworks.errors import ExitCode, UsageError
from tapeworks.output import put, say


@click.command("delete", epilog="Example: tapeworks delete first --yes")
@runs_argument
@click.option("--yes", is_flag=True, help="do not ask")
def command(runs: tuple[str, ...], yes: bool) -> int:
    """Remove runs with all their history and parameters. A running one is refused.

    RUN is an id, a unique prefix of one, or a name. Prints the ids.
    """
    history = connected_history()
    history.release_abandoned()
    found = [history.find_run(run) for run in runs]
    if not yes:
        _confirm([f"{run.id} {run.name or ''}".strip() for run in found])
    for run in found:
        history.queue.delete(run.id)
        put(run.id)
    return ExitCode.DONE


def _confirm(names: list[str]) -> None:
    for line in ("This removes for good:", *(f"  {name}" for name in names)):
        say(line)
    if not sys.stdin.isatty():
        raise UsageError("Nothing was removed: nobody can be asked here; say so with --yes.")
    if not click.confirm("Remove?", err=True):
        raise click.Abort
