"""`tapeworks pause`, `resume`, `cancel`, `priority` and `delete`: change runs that are there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict

import click

from tapeworks.cli.completion import complete_run
from tapeworks.cli.connection import open_history
from tapeworks.cli.describe import as_json, submitter_text
from tapeworks.cli.descriptions import priority_type
from tapeworks.cli.output import put, say
from tapeworks.errors import ExitCode, UsageError
from tapeworks.storage.actors import own_actor
from tapeworks.storage.records import RunRecord, RunStatus
from tapeworks.storage.run_queue import Queue

#: The argument that names one or several runs.
runs_argument = click.argument(
    "runs", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_run
)

#: The words for the history.
reason_option = click.option("--reason", help="why, for the history")

yes_option = click.option("--yes", is_flag=True, help="do not ask")

json_option = click.option("--json", is_flag=True, help="print JSON")

#: What is done to one run.
Change = Callable[[Queue, str], RunRecord]


def change_runs(
    references: Sequence[str],
    json: bool,
    change: Change,
    check: Callable[[Sequence[RunRecord]], None] = lambda _: None,
) -> int:
    """Find all the runs, then change one after the other and say where each stands.

    `check` raises for runs that are not to be changed.
    """
    history = open_history()
    history.release_abandoned()
    found = [history.find_run(reference) for reference in references]
    check(found)
    changed = []
    for run in found:
        changed.append(change(history.queue, run.id))
        if not json:
            put(_sentence(changed[-1]))
    if json:
        put(as_json([asdict(run) for run in changed]))
    return ExitCode.DONE


def _sentence(run: RunRecord) -> str:
    if run.status is RunStatus.RUNNING and run.request:
        return f"Run {run.id} is running; its scheduler will have it {run.request.status}"
    priority = f", priority {run.priority}" if run.priority else ""
    return f"Run {run.id} is {run.status}{priority}"


@click.command("pause", epilog='Example: tapeworks pause first --reason "the machines are needed"')
@runs_argument
@reason_option
@json_option
def pause_command(runs: tuple[str, ...], reason: str | None, json: bool) -> int:
    """Stop runs after the iteration in progress, until they are resumed.

    A queued run is not taken any more. RUN is an id, a unique prefix of one, or a name.
    """
    return change_runs(runs, json, lambda queue, run_id: queue.pause(run_id, reason))


@click.command("resume", epilog="Example: tapeworks resume first")
@runs_argument
@json_option
def resume_command(runs: tuple[str, ...], json: bool) -> int:
    """Queue paused runs again; they go on where they stopped, to the same bits.

    RUN is an id, a unique prefix of one, or a name.
    """
    return change_runs(runs, json, lambda queue, run_id: queue.resume(run_id))


@click.command("cancel", epilog='Example: tapeworks cancel first --reason "wrong data set"')
@runs_argument
@reason_option
@yes_option
@json_option
def cancel_command(runs: tuple[str, ...], reason: str | None, yes: bool, json: bool) -> int:
    """End runs for good; what is committed stays in the history.

    A run that is being driven ends within one iteration. RUN is an id, a unique prefix of one, or
    a name. Runs of other users are asked about.
    """

    def check(found: Sequence[RunRecord]) -> None:
        others = [run for run in found if run.submitter not in {None, own_actor().user}]
        if others and not yes:
            _confirm("This ends for good runs of others:", others, "Cancel?", "cancelled")

    return change_runs(runs, json, lambda queue, run_id: queue.cancel(run_id, reason), check)


@click.command(
    "priority",
    context_settings={"ignore_unknown_options": True},  # -5 is a priority
    epilog="Example: tapeworks priority 10 urgent",
)
@click.argument("priority", type=priority_type)
@runs_argument
@json_option
def priority_command(priority: int, runs: tuple[str, ...], json: bool) -> int:
    """Set the PRIORITY of runs: a higher one is taken first; new runs have 0.

    A run that is being driven keeps its scheduler. RUN is an id, a unique prefix of one, or a name.
    """
    return change_runs(runs, json, lambda queue, run_id: queue.set_priority(run_id, priority))


@click.command("delete", epilog="Example: tapeworks delete first --yes")
@runs_argument
@yes_option
def delete_command(runs: tuple[str, ...], yes: bool) -> int:
    """Remove runs with all their history and parameters. A running one is refused.

    RUN is an id, a unique prefix of one, or a name. Prints the ids.
    """
    history = open_history()
    history.release_abandoned()
    found = [history.find_run(run) for run in runs]
    if not yes:
        _confirm("This removes for good:", found, "Remove?", "removed")
    for run in found:
        history.queue.delete(run.id)
        put(run.id)
    return ExitCode.DONE


def _confirm(heading: str, found: Sequence[RunRecord], question: str, done: str) -> None:
    """Name the runs, with whose they are, and ask. Raises without a terminal or a yes."""
    for line in (heading, *(f"  {run.label}, of {submitter_text(run)}" for run in found)):
        say(line)
    if not sys.stdin.isatty():
        raise UsageError(f"Nothing was {done}: no terminal to ask at; confirm with --yes.")
    if not click.confirm(question, err=True):
        raise click.Abort
