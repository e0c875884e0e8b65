"""`tapeworks train`: the whole thing on one machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from tapeworks.cli.completion import complete_run
from tapeworks.cli.connection import open_history, open_or_make_history
from tapeworks.cli.descriptions import with_name_options
from tapeworks.cli.option_kinds import PathType, Whole
from tapeworks.cli.options import Request, with_run_options
from tapeworks.cli.outputs.describe import as_json, evaluation_words, loss_words, run_values
from tapeworks.cli.outputs.destinations import full_name, is_stdout
from tapeworks.cli.outputs.files import check_writable, write_file
from tapeworks.cli.outputs.picture_files import LOSS_CURVE, find_place
from tapeworks.cli.outputs.printing import put, say, succeeds, visible
from tapeworks.cli.own_places import find_own_places
from tapeworks.cluster.preparation import check_redis, choose_workers, find_resumable
from tapeworks.cluster.session import Session
from tapeworks.cluster.web_page import web_page
from tapeworks.errors import ExitCode, UsageError
from tapeworks.model import datasets
from tapeworks.model.config import restore_config
from tapeworks.plotting.kinds import Wanted, content, picture, picture_format
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.footprint import describe_footprint
from tapeworks.scheduler.submission import new_run, prepare_runs
from tapeworks.storage.history import History
from tapeworks.storage.records import (
    STARTING,
    RunRecord,
    RunStatus,
    iteration_count,
    resume_words,
)


@click.command("train", epilog="Example: tapeworks train --dataset mnist --images 200 --workers 2")
@with_run_options
@with_name_options
@click.option(
    "--workers",
    type=Whole(0),
    help="worker processes; 0 needs no queue  [default: as many as make it faster]",
)
@click.option(
    "--no-pin",
    is_flag=True,
    help="let the system place the workers; else each has its own core if there are as many",
)
@click.option("--resume", metavar="RUN", shell_complete=complete_run, help="go on with this run")
@click.option("--stop-after", type=Whole(1), help="pause when so many iterations are committed")
@click.option(
    "--plot",
    type=PathType(),
    help="where to draw the loss curve, .png, .svg or .pdf  [default: loss_curve.png, or with a "
    "number where another file stands]",
)
@click.option(
    "--web",
    is_flag=True,
    help="show the run in a browser meanwhile, at port 8470 of this machine or at a free one",
)
@click.option("--json", is_flag=True, help="print the run as JSON")
def train_command(
    request: Request,
    described: dict[str, Any],
    workers: int | None,
    no_pin: bool,
    resume: str | None,
    stop_after: int | None,
    plot: Path | None,
    web: bool,
    json: bool,
) -> int:
    """Train on this machine: in this process, or with a queue and worker processes of its own.

    Workers use the Redis at TAPEWORKS_REDIS_URL, or a private one that is started. A loss is the
    sum over the images of an iteration.
    """
    picture_format(plot or LOSS_CURVE)
    check_writable(plot or LOSS_CURVE)
    if json and plot and is_stdout(plot):
        raise UsageError("--json goes to standard output; name another --plot.")
    places = find_own_places()
    if resume is None:
        config = request.configuration()
        data = datasets.load(config)
        [prepared] = prepare_runs([config], request.init_from, lambda _: data)
        config = prepared.config
        count, told = choose_workers(config, workers, stop_after)
        check_redis(places, count)
        if large := describe_footprint([config]):
            say(large)
        waiting: dict[str, Any] = {"status": RunStatus.PAUSED, "reason": STARTING, "name": None}
        new = new_run(prepared, **waiting | described)
        history = open_or_make_history()
        history.database.check_writable()  # a submitter may store a run, and not drive it
        [run] = history.queue.submit([new])
    else:
        if described or not request.is_empty:
            raise UsageError("--resume goes on with a run's own settings; leave out all others.")
        history = open_history()
        run = find_resumable(history, resume, stop_after)
        config = restore_config(run.configuration)
        data = datasets.load(config)
        count, told = choose_workers(config, workers, stop_after, run.completed_iterations)
        check_redis(places, count)
    if told:
        say(told)
    session = Session(
        history=history,
        places=places,
        control=Control(stop_after),
        workers=count,
        pinned=not no_pin,
    )
    with web_page(run.id) if web else nullcontext():
        began = time.monotonic()
        run = session.run(run, config, data)
        seconds = time.monotonic() - began
    is_complete = _report(history, run, seconds, plot, json=json)
    code = _exit_code(run, stop_after)
    return code if is_complete else code or ExitCode.RUN_FAILED


def _report(
    history: History, run: RunRecord, seconds: float, plot: Path | None, *, json: bool
) -> bool:
    """Print and draw what a run came to; True if all of it could be."""
    tell = say if plot and is_stdout(plot) else put
    if json:
        is_told = succeeds("summary", lambda: put(as_json(run_values(history, run))))
    else:
        is_told = succeeds("summary", lambda: _summarise(history, run, seconds, tell))
    is_drawn = succeeds("loss curve", lambda: _draw(history, run, plot, None if json else tell))
    return is_told and is_drawn


def _exit_code(run: RunRecord, stop_after: int | None) -> ExitCode:
    done = run.completed_iterations
    if run.status is RunStatus.COMPLETED:
        return ExitCode.DONE
    if run.status.is_finished:
        say(f"Queue it again from there with: tapeworks retry {run.id} --after {done}")
        return ExitCode.RUN_FAILED
    say(f"Go on with: {resume_words(run.id)}")
    return ExitCode.DONE if done == stop_after else ExitCode.INTERRUPTED


def _summarise(
    history: History, run: RunRecord, seconds: float, tell: Callable[[str], None]
) -> None:
    records = history.iterations(run.id)
    trained = sum(record.seconds for record in records)
    reason = f", {run.reason}" if run.reason else ""
    done = f"{run.status.value} after {iteration_count(run.completed_iterations)}{reason}"
    tell(visible(f"run        {run.label}, {done}"))
    if records:
        tell(f"loss       {loss_words(run)}")
    for evaluation in history.evaluations(run.id)[-1:]:
        measure, number = evaluation_words(evaluation)
        tell(f"{measure:10} {number} of {evaluation.images} held-out images")
    tell(f"time       {seconds:.1f} s, {trained:.1f} s of it iterations")
    tell(visible(f"database   {history.database.address}"))


def _draw(
    history: History, run: RunRecord, named: Path | None, tell: Callable[[str], None] | None
) -> None:
    if not run.completed_iterations:
        return
    plot = named or find_place(LOSS_CURVE, [run.id])
    write_file(plot, picture(content(history, [run], Wanted()), picture_format(plot)))
    if tell:
        tell(visible(f"loss curve {full_name(plot)}"))
