"""`tapeworks submit`: queue runs for a scheduler, from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from tapeworks.commands.watch import watch
from tapeworks.connection import connected_history
from tapeworks.describe import as_json, run_values
from tapeworks.descriptions import varied_settings, with_queue_options
from tapeworks.errors import ExitCode, UsageError
from tapeworks.options import Request, with_run_options
from tapeworks.output import put, say
from tapeworks.scheduler.submission import grid, initial_parameters, new_run
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord, RunStatus
from tapeworks.workers.crash_points import at_commit


@click.command(
    "submit",
    epilog="Example: tapeworks submit --name grid --vary learning_rate=0.001,0.01 --vary seed=1,2",
)
@with_run_options
@with_queue_options
@click.option(
    "--vary",
    multiple=True,
    metavar="NAME=A,B,…",
    help="a run for every combination; a semicolon parts values that have commas",
)
@click.option("--follow", is_flag=True, help="wait for the run's end, as watch does")
@click.option("--json", is_flag=True, help="print the run as JSON; a list of them with --vary")
def command(
    request: Request, described: dict[str, Any], vary: tuple[str, ...], follow: bool, json: bool
) -> int:
    """Queue a run; a scheduler with the same database takes it. Prints the run's id.

    With --vary, all runs of the grid are queued at once, or none if one of them cannot work; a name
    gets their numbers.
    """
    if follow and vary:
        raise UsageError("--follow waits for one run, --vary queues several; choose one.")
    if follow and "status" in described:
        raise UsageError("A paused run has no end to wait for; leave out --follow or --paused.")
    configs = grid(request.values(), varied_settings(vary)) if vary else [request.configuration()]
    name = described.pop("name", None)
    names = [name and f"{name}-{number}" for number in range(1, len(configs) + 1)]
    runs = [
        new_run(
            config,
            initial_parameters(config, request.init_from),
            name=numbered if vary else name,
            **described,
        )
        for config, numbered in zip(configs, names, strict=True)
    ]
    history = connected_history(at_commit)
    queued = history.queue.submit(runs)
    _tell(history, queued, json, as_list=bool(vary))
    return watch(history, queued[0]) if follow else ExitCode.DONE


def _tell(history: History, runs: Sequence[RunRecord], json: bool, *, as_list: bool) -> None:
    if json:
        values = [run_values(history, run) for run in runs]
        put(as_json(values if as_list else values[0]))
    else:
        put("\n".join(run.id for run in runs))
    waits = "Paused" if runs[0].status is RunStatus.PAUSED else "Queued"
    if as_list:
        say(f"{waits} {len(runs)} runs. List them with: tapeworks runs")
    else:
        say(f"{waits}. Follow it with: tapeworks watch {runs[0].id}")
