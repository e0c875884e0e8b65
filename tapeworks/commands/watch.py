"""`tapeworks watch`: follow a run that some scheduler drives, from any machine."""

from __future__ import annotations

import time

import click

from tapeworks.commands.show import run_argument
from tapeworks.connection import connected_history
from tapeworks.errors import ExitCode
from tapeworks.output import say
from tapeworks.progress import Progress
from tapeworks.storage.history import History
from tapeworks.storage.records import (
    EvaluationRecord,
    IterationRecord,
    RunRecord,
    RunStatus,
)
from tapeworks.workers.streams import STDERR, is_unread

#: Seconds between two looks at the history.
LOOK_SECONDS = 0.5


@click.command("watch", epilog="Example: tapeworks watch first")
@run_argument
def command(run: str) -> int:
    """Follow a run until it ends or is paused; Ctrl-C leaves the run alone.

    Exits with 1 if the run failed or was cancelled. Ends when nobody reads what it says.
    """
    history = connected_history()
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
                progress.evaluated(happened)
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
