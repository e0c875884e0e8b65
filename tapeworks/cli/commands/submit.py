"""`tapeworks submit` and `tapeworks retry`: queue runs for a scheduler, from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from tapeworks.cli.commands.show import run_argument
from tapeworks.cli.commands.watch import watch, watch_several
from tapeworks.cli.completion import complete_setting
from tapeworks.cli.connection import open_history, open_or_make_history
from tapeworks.cli.descriptions import parse_grid, parse_settings, with_queue_options
from tapeworks.cli.option_kinds import Whole
from tapeworks.cli.options import Request, with_run_options
from tapeworks.cli.outputs.describe import as_json, run_values
from tapeworks.cli.outputs.printing import put, say
from tapeworks.cluster.watching.serving import describe_unserved
from tapeworks.errors import ExitCode, UsageError
from tapeworks.places import find_places
from tapeworks.scheduler.footprint import describe_footprint
from tapeworks.scheduler.queueing import check_queued
from tapeworks.scheduler.submission import grid, new_runs, prepare_runs, retry
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord, RunStatus

#: The hint after several runs were submitted that nothing is to be seen of yet.
LIST = "List them with: tapeworks runs"


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
    shell_complete=complete_setting,
    help="a run for every combination; a semicolon parts values that have commas",
)
@click.option("--follow", is_flag=True, help="wait for the end of it, or of all, as watch does")
@click.option("--json", is_flag=True, help="print the run as JSON; a list of them with --vary")
def submit_command(
    request: Request, described: dict[str, Any], vary: tuple[str, ...], follow: bool, json: bool
) -> int:
    """Queue a run; a scheduler with the same database takes it. Prints the run's id.

    With --vary, all runs of the grid are queued at once, or none if one of them cannot work; a name
    gets their numbers.
    """
    if follow and "status" in described:
        raise UsageError("A paused run has no end to wait for; leave out --follow or --paused.")
    varied = parse_grid(vary)
    configs = grid(request.values(varied), varied) if vary else [request.configuration()]
    name = described.pop("name", None)
    prepared = prepare_runs(configs, request.init_from)
    check_queued(prepared, say)
    runs = new_runs(prepared, name=name, is_grid=bool(vary), **described)
    if told := describe_footprint([one.config for one in prepared]):
        say(told)
    history = open_or_make_history()
    queued = history.queue.submit(runs)
    _tell(history, queued, json, as_list=bool(vary))
    if not follow:
        _warn(history, queued)
        return ExitCode.DONE
    ids = [run.id for run in queued]
    return watch_several(history, lambda: ids) if vary else watch(history, queued[0])


def _warn(history: History, runs: Sequence[RunRecord]) -> None:
    """Say that nobody would take what was queued; those who follow it are told as they wait."""
    if runs[0].status is RunStatus.QUEUED and (sentence := describe_unserved(history.database)):
        say(sentence)


def _state_word(run: RunRecord) -> str:
    return "Paused" if run.status is RunStatus.PAUSED else "Queued"


def _name_usual(history: History) -> str:
    """Name the database if nobody has: another one may have been meant."""
    is_usual = find_places().is_usual_database
    return f" in the usual database ({history.database.address})" if is_usual else ""


def _tell(history: History, runs: Sequence[RunRecord], json: bool, *, as_list: bool) -> None:
    if json:
        values = [run_values(history, run) for run in runs]
        put(as_json(values if as_list else values[0]))
    else:
        put("\n".join(run.id for run in runs))
    waits, place = _state_word(runs[0]), _name_usual(history)
    if as_list:
        counted = f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}"
        name = (runs[0].name or "").rpartition("-")[0]  # of the grid
        is_followed = name and runs[0].status is RunStatus.QUEUED
        hint = f"Follow them with: tapeworks watch {name}" if is_followed else LIST
        say(f"{waits} {counted}{place}. {hint}")
    else:
        say(f"{waits}{place}. Follow it with: tapeworks watch {runs[0].id}")


@click.command(
    "retry", epilog="Example: tapeworks retry first --after 20 --set learning_rate=0.0005"
)
@run_argument
@click.option("--after", type=Whole(0), help="begin with the parameters after so many iterations")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    shell_complete=complete_setting,
    help="another setting",
)
@with_queue_options
@click.option("--json", is_flag=True, help="print the new run as JSON")
def retry_command(
    run: str, after: int | None, changes: tuple[str, ...], described: dict[str, Any], json: bool
) -> int:
    """Queue a run's configuration again, from its beginning or from a checkpoint.

    Without other settings the new run has the bits that the old one has or would have had. Name,
    tags, note and priority are the old one's where they are not given. Prints the new run's id.
    """
    values = parse_settings(changes)
    history = open_history()
    history.release_abandoned()
    old = history.find_run(run)
    new = retry(history, old, after=after, changes=values, tell=say, **described)
    put(as_json(run_values(history, new)) if json else new.id)
    say(f"{_state_word(new)}{_name_usual(history)}. Follow it with: tapeworks watch {new.id}")
    _warn(history, [new])
    return ExitCode.DONE
