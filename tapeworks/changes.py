"""What `pause`, `resume`, `cancel`, `priority` and `delete` have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

import click

from tapeworks.connection import connected_history
from tapeworks.describe import as_json
from tapeworks.errors import ExitCode
from tapeworks.output import put
from tapeworks.storage.queue import Queue
from tapeworks.storage.records import RunRecord, RunStatus

#: The argument that names one or several runs.
runs_argument = click.argument("runs", metavar="RUN...", nargs=-1, required=True)

#: The words for the history.
reason_option = click.option("--reason", help="why, for the history")

json_option = click.option("--json", is_flag=True, help="print JSON")

#: What is done to one run.
Change = Callable[[Queue, str], RunRecord]


def change_runs(references: Sequence[str], json: bool, change: Change) -> int:
    """Find all the runs, then change one after the other and say where each stands."""
    history = connected_history()
    history.release_abandoned()
    found = [history.find_run(reference) for reference in references]
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
