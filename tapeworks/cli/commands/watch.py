"""`tapeworks watch`: runs as they go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import click

from tapeworks.cli.completion import complete_run_or_grid, complete_tag
from tapeworks.cli.connection import open_history
from tapeworks.cli.descriptions import pairs
from tapeworks.cli.outputs.printing import say
from tapeworks.cluster.watching.progress import NEWEST, Progress
from tapeworks.cluster.watching.serving import Waiting, describe_waiting
from tapeworks.errors import ExitCode, UsageError
from tapeworks.storage.actors import own_actor
from tapeworks.storage.errors import NotFound
from tapeworks.storage.glances import find_named
from tapeworks.storage.history import History
from tapeworks.storage.queries.pages import Part, list_iterations, read_runs
from tapeworks.storage.queries.search import find_runs
from tapeworks.storage.records import EvaluationRecord, IterationRecord, RunRecord, RunStatus
from tapeworks.workers.streams import STDERR, is_unread

#: Seconds between two looks at the history.
LOOK_SECONDS = 0.5


@click.command("watch", epilog="Example: tapeworks watch grid --tag night=monday")
@click.argument("runs", metavar="[RUN]...", nargs=-1, shell_complete=complete_run_or_grid)
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=complete_tag,
    help="all runs with this tag, also those that are submitted meanwhile; of several, all of them",
)
@click.option(
    "--mine",
    is_flag=True,
    help="of this user, by name: with --tag, those with it; else all that have not ended",
)
def watch_command(runs: tuple[str, ...], tags: tuple[str, ...], mine: bool) -> int:
    """Follow runs until all have ended or are paused; Ctrl-C leaves the runs alone.

    RUN is an id, a unique prefix of one, a name, or the name of a grid, which means its newest
    runs. Several have a line each, the best so far marked: by accuracy on held-out images, else by
    loss on them, else by loss. A loss is the sum over the images of an iteration. Exits with 1 if
    a run failed or was cancelled. Ends when nobody reads what it says.
    """
    wanted = pairs(tags, "--tag")
    if not (runs or wanted or mine):
        raise UsageError(
            "Expected a run: tapeworks watch RUN, or tapeworks watch --tag KEY=VALUE, or --mine"
        )
    history = open_history()
    found = list(chain.from_iterable(find_named(history.database, reference) for reference in runs))
    if len(found) == 1 and not wanted and not mine:
        return watch(history, found[0])
    named = list(dict.fromkeys(run.id for run in found))
    chosen = _Chosen(history, wanted, own_actor().user if mine else None)
    if not named and not chosen.list_ids():
        whose, mine_alone = (" of yours", " --mine") if mine else ("", "")
        like = f"with the tag {', '.join(tags)}" if tags else "that has not ended"
        raise NotFound(f"There is no run{whose} {like}. List all: tapeworks runs{mine_alone}")
    return watch_several(history, lambda: [*named, *chosen.list_ids()])


def watch(history: History, record: RunRecord) -> int:
    """Show a run's progress until it ends or is paused; the exit code tells how."""
    with Progress(record.iterations, record.completed_iterations) as progress:
        record = _follow(history, record, progress)
    reason = f": {record.reason}" if record.reason else ""
    say(f"Run {record.label} is {record.status.value}{reason}")
    return _exit_code(record)


def watch_several(history: History, list_ids: Callable[[], list[str]]) -> int:
    """Show the progress of runs, listed anew at every look, until all have ended or are paused.

    The exit code is the worst of theirs.
    """
    from tapeworks.cluster.watching.board import make_board
    from tapeworks.cluster.watching.watched import Watched, best_words

    known, waiting = dict[str, Watched](), Waiting(history.database)
    with make_board() as board:
        while True:
            history.release_abandoned()
            runs = [run for run, _ in read_runs(history.database, list_ids())]
            known = {run.id: known.get(run.id) or Watched(run) for run in runs}
            for run in runs:
                known[run.id].look(run, _newest(history, run, known[run.id].seen))
            watched = list(known.values())
            is_queued = any(run.status is RunStatus.QUEUED for run in runs)
            if sentence := waiting.look(is_queued=is_queued):
                say(sentence)
            board.show(watched)
            if all(one.is_over for one in watched) or is_unread(STDERR):
                break
            time.sleep(LOOK_SECONDS)
    if sentence := best_words(watched):
        say(sentence)
    return max((_exit_code(run) for run in runs), default=ExitCode.DONE)


def _exit_code(run: RunRecord) -> ExitCode:
    failed = run.status in {RunStatus.FAILED, RunStatus.CANCELLED}
    return ExitCode.RUN_FAILED if failed else ExitCode.DONE


class _Chosen:
    """The runs that fulfil conditions: without tags, those that have not ended at some look."""

    def __init__(self, history: History, tags: Mapping[str, str], submitter: str | None) -> None:
        self._database = history.database
        self._is_empty = not tags and submitter is None
        self._wanted: dict[str, Any] = {"tags": tags, "submitter": submitter}
        if not tags:
            self._wanted["status"] = [one for one in RunStatus if not one.is_finished]
        self._known = dict[str, None]()

    def list_ids(self) -> list[str]:
        """Their ids in the order of their submission, with those that came since the last look."""
        if not self._is_empty:
            found = find_runs(self._database, columns=["id"], descending=False, **self._wanted)
            self._known |= dict.fromkeys(map(str, found.column("id")))
        return list(self._known)


def _newest(history: History, run: RunRecord, seen: int) -> list[IterationRecord]:
    """Return those of its iterations that were added since so many were there, at most a few."""
    first, end = max(seen, run.completed_iterations - NEWEST), run.completed_iterations
    part = Part(first=first, limit=end - first)
    return list_iterations(history.database, run.id, part) if part.limit > 0 else []


def _follow(history: History, record: RunRecord, progress: Progress) -> RunRecord:
    seen, measured, told = record.first_iteration, 0, ""
    waiting = Waiting(history.database)
    while True:
        history.release_abandoned()
        record = history.find_run(record.id)
        is_over = record.status.is_finished or record.status is RunStatus.PAUSED
        iterations = _list_unseen(history, record, seen, is_past=is_over and not told)
        evaluations = history.evaluations(record.id)[measured:]
        seen, measured = record.completed_iterations, measured + len(evaluations)
        for happened in _in_order(iterations, evaluations):
            if isinstance(happened, EvaluationRecord):
                progress.show_evaluation(happened)
            else:
                progress.show(happened)
        if is_over or is_unread(STDERR):
            return record
        is_queued = record.status is RunStatus.QUEUED
        if is_queued and told != record.status:
            progress.notice(describe_waiting(history.database, record))
        if sentence := waiting.look(is_queued=is_queued):
            progress.notice(sentence)
        told = record.status.value
        time.sleep(LOOK_SECONDS)


def _list_unseen(
    history: History, run: RunRecord, seen: int, *, is_past: bool
) -> list[IterationRecord]:
    """Return the iterations to show: the newest, after the very first if that was not seen.

    Of a run that was over before anybody watched it is the last one alone.
    """
    iterations = _newest(history, run, seen)
    if is_past:
        return iterations[-1:]
    if seen == run.first_iteration and iterations and iterations[0].iteration > seen:
        first = Part(first=seen, limit=1)
        iterations = [*list_iterations(history.database, run.id, first), *iterations]
    return iterations


def _in_order(
    iterations: list[IterationRecord], evaluations: list[EvaluationRecord]
) -> list[IterationRecord | EvaluationRecord]:
    """Return them as they happened: an evaluation follows the iteration that it measured."""
    return sorted([*iterations, *evaluations], key=_place)


def _place(record: IterationRecord | EvaluationRecord) -> float:
    if isinstance(record, EvaluationRecord):
        return record.completed_iterations - 0.5
    return record.iteration
