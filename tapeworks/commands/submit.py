"""`tapeworks submit`: queue a run for a scheduler, from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from scheduler.submission import initial_parameters, submit
from storage.history import History
from tapeworks.describe import as_json, run_values
from tapeworks.errors import ExitCode
from tapeworks.options import configuration, with_run_options
from tapeworks.output import put, say
from tapeworks.settings import settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("submit")(with_run_options(submit_run))


def submit_run(
    *,
    given: dict[str, Any],
    config: Annotated[
        Path | None, typer.Option(help="settings in YAML or TOML; options go before them")
    ] = None,
    name: Annotated[str | None, typer.Option(help="what to call the run")] = None,
    init_from: Annotated[
        Path | None, typer.Option(help="start from these parameters (safetensors)")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print the run as JSON")] = False,
) -> int:
    """Queue a run; a scheduler with the same database takes it. Prints the run's id."""
    wanted = configuration(given, config)
    initial = initial_parameters(wanted, init_from)
    history = History.open(settings().database_url)
    run = submit(history, wanted, initial, name=name)
    put(as_json(run_values(history, run)) if json else run.id)
    say(f"Queued. Follow it with: tapeworks watch {run.id}")
    return ExitCode.DONE
