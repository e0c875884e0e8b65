"""`tapeworks submit`: queue a run for a scheduler, from anywhere."""

from __future__ import annotations

import click

from scheduler.submission import initial_parameters, submit
from storage.history import History
from tapeworks.describe import as_json, run_values
from tapeworks.errors import ExitCode
from tapeworks.options import Request, with_run_options
from tapeworks.output import put, say
from tapeworks.settings import settings
from workers.crash_points import at_commit


@click.command("submit")
@with_run_options
@click.option("--json", is_flag=True, help="print the run as JSON")
def command(request: Request, json: bool) -> int:
    """Queue a run; a scheduler with the same database takes it. Prints the run's id."""
    config = request.configuration()
    initial = initial_parameters(config, request.init_from)
    history = History.open(settings().database_url, at_commit)
    run = submit(history, config, initial, name=request.name)
    put(as_json(run_values(history, run)) if json else run.id)
    say(f"Queued. Follow it with: tapeworks watch {run.id}")
    return ExitCode.DONE
