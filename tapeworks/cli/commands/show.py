"""`tapeworks show` and `tapeworks watch`: one run, as it stands and as it goes on."""

from __future__ import annotations

import time
from dataclasses import asdict

import click

from tapeworks.cli.completion import complete_run
from tapeworks.cli.connection import open_history
from tapeworks.cli.describe import as_json, clock, run_lines, run_values
from tapeworks.cli.output import put, put_lines, put_table, say
from tapeworks.cluster.progress import Progress
from tapeworks.errors import ExitCode, UsageError
from tapeworks.storage.history import History
from tapeworks.storage.records import EvaluationRecord, IterationRecord, RunRecord, RunStatus
from tapeworks.workers.streams import STDERR, is_unread

#: The argument that names a run: an id, a unique prefix of one, or a name.
run_argument = click.argument("run", metavar="RUN", shell_complete=complete_run)

#: Seconds between two looks at the history.
LOOK_SECONDS = 0.5


@click.command("show", epilog="Example: tapeworks show first --events")
@run_argument
@click.option("--events", is_flag=True, help="what happened to it")
@click.option("--ledger", is_flag=True, help="the worker that computed each image, counted once")
@click.option("--json", is_flag=True, help="print JSON, with the digests")
def show_command(run: str, events: bool, ledger: bool, json: bool) -> int:
    """Show a run's settings, status, losses and digests, or its events or ledger.

    RUN is an id, a unique prefix of one, or a name.
    """
    if events and ledger:
        raise UsageError("--events and --ledger exclude each other; choose one.")
    history = open_history()
    history.release_abandoned()
    record = history.find_run(run)
    if events or ledger:
        table = history.events(record.id) if events else history.ledger(record.id)
        rows = [{k: v for k, v in asdict(line).items() if k != "run_id"} for line in table]
        _put_rows(rows, json)
    elif json:
        put(as_json(run_values(history, record)))
    else:
        lines = run_lines(history, record)
        width = max(len(label) for label, _ in lines)
        put_lines(f"{label:{width}}  {text}" for label, text in lines)
    return ExitCode.DONE


def _put_rows(rows: list[dict[str, object]], json: bool) -> None:
    if json:
        put(as_json(rows))
    elif rows:
        headers = [name.replace("_", " ").upper() for name in rows[0]]
        put_table(headers, [[_cell(name, value) for name, value in row.items()] for row in rows])


def _cell(name: str, value: object) -> str:
    if value is None:
        return "-"
    if name.endswith("at") and hasattr(value, "astimezone"):
        return clock(value)  # type: ignore[arg-type]
    return f"{value:.4f}" if isinstance(value, float) else str(value)


@click.command("watch", epilog="Example: tapeworks watch first")
@run_argument
def watch_command(run: str) -> int:
    """Follow a run until it ends or is paused; Ctrl-C leaves the run alone.

    Exits with 1 if the run failed or was cancelled. Ends when nobody reads what it says.
    """
    history = open_history()
    return watch(history, history.find_run(run))


def watch(history: History, record: RunRecord) -> int:
    """Show a run's progress until it ends or is paused; the exit code tells how."""
    with Progress(record.iterations, record.completed_iterations) as progress:
        record = _follow(history, record, progress)
    reason = f": {record.reason}" if record.reason else ""
    say(f"Run {record.id} is {record.status.value}{reason}")
    failed = record.status in {RunStatus.FAILED, RunStatus.CANCELLED}
    return ExitCode.RUN_FAILED if failed else ExitCode.DONE


def _follow(history: History, record: RunRecord, progress: Progress) -> RunRecord:
    shown, seen, told = 0, 0, ""
    while True:
        history.release_abandoned()
        record = history.find_run(record.id)
        iterations = history.iterations(record.id)[shown:]
        evaluations = history.evaluations(record.id)[seen:]
        shown, seen = shown + len(iterations), seen + len(evaluations)
        for happened in _in_order(iterations, evaluations):
            if isinstance(happened, EvaluationRecord):
                progress.show_evaluation(happened)
            else:
                progress.show(happened)
        is_over = record.status.is_finished or record.status is RunStatus.PAUSED
        if is_over or is_unread(STDERR):
            return record
        if record.status is RunStatus.QUEUED and told != record.status:
            progress.notice(f"Run {record.id} is queued; waiting for a scheduler to take it")
        told = record.status.value
        time.sleep(LOOK_SECONDS)


def _in_order(
    iterations: list[IterationRecord], evaluations: list[EvaluationRecord]
) -> list[IterationRecord | EvaluationRecord]:
    """Return them as they happened: an evaluation follows the iteration that it measured."""
    return sorted([*iterations, *evaluations], key=_place)


def _place(record: IterationRecord | EvaluationRecord) -> float:
    if isinstance(record, EvaluationRecord):
        return record.completed_iterations - 0.5
    return record.iteration
