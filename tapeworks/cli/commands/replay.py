"""`tapeworks replay`: a proof that a run's history is what was computed."""

from __future__ import annotations

import re
from dataclasses import asdict

import click

from tapeworks.cli.commands.show import run_argument
from tapeworks.cli.connection import open_history
from tapeworks.cli.option_kinds import Whole
from tapeworks.cli.outputs.describe import as_json
from tapeworks.cli.outputs.printing import put, say
from tapeworks.cluster.session import Onlooker, interruptible, means_for
from tapeworks.cluster.watching.progress import Progress
from tapeworks.errors import ExitCode
from tapeworks.scheduler.driving.driver import find_source
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.replay.differences import Difference
from tapeworks.scheduler.replay.replay import Replay, prepare

#: What is said when the user does not wait.
STOPPED = "The replay was stopped; the history is as it was."

#: One iteration, or the first and the last of several.
ITERATIONS = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10}))?")


def _read(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> list[range]:
    return [_iterations(value, context, parameter) for value in values]


def _iterations(value: str, context: click.Context, parameter: click.Parameter) -> range:
    found = ITERATIONS.fullmatch(value)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, -1)
    if first > last:
        wrong = f"Expected an iteration such as 3, or several such as 3-7. Received: {value!r}."
        raise click.BadParameter(wrong, context, parameter)
    return range(first, last + 1)


@click.command("replay", epilog="Example: tapeworks replay first 10-12")
@run_argument
@click.argument("iterations", metavar="[ITERATION]...", nargs=-1, callback=_read)
@click.option(
    "--workers",
    type=Whole(0),
    default=0,
    show_default=True,
    help="worker processes behind a private Redis; 0 needs no queue",
)
@click.option("--json", is_flag=True, help="print JSON")
def replay_command(run: str, iterations: list[range], workers: int, json: bool) -> int:
    """Compute a run's iterations again and compare every bit with its history.

    Of all committed iterations, or of some: 3 is one, counted from 0 as in the history, 3-7 are
    five. The first difference is named, and the exit code is 1. Writes nothing.
    """
    history = open_history()
    replay = prepare(history, history.find_run(run), iterations)
    control = Control()
    with interruptible(control, "Stopping"):
        difference = _compare(replay, workers, control)
    if json:
        put(as_json(_values(replay, difference)))
    else:
        put(str(difference) if difference else _all_the_same(replay))
    return ExitCode.RUN_FAILED if difference else ExitCode.DONE


def _compare(replay: Replay, workers: int, control: Control) -> Difference | None:
    iterations, source = replay.iterations, find_source(replay.history, replay.config)
    say(f"Replaying {_count(len(iterations))}, from iteration {iterations[0]}")
    with (
        means_for(replay.run, replay.config, source, workers, None, control) as means,
        Progress(iterations[-1] + 1, iterations[0]) as progress,
    ):
        watcher = Onlooker(means=means, control=control, tell=progress.notice, stopped=STOPPED)
        for found in replay.compare(means.dispatcher, watcher):
            if isinstance(found, Difference):
                return found
            progress.show(found)
    return None


def _all_the_same(replay: Replay) -> str:
    replayed = f"{_count(len(replay.iterations))} replayed, all the same bits"
    return f"{replayed}: parameters {_parameters_digest(replay)}"


def _count(iterations: int) -> str:
    return f"{iterations} {'iteration' if iterations == 1 else 'iterations'}"


def _parameters_digest(replay: Replay) -> str:
    return replay.records[replay.iterations[-1]].parameters_digest


def _values(replay: Replay, difference: Difference | None) -> dict[str, object]:
    return {
        "run_id": replay.run.id,
        "iterations": replay.iterations,
        "parameters_digest": _parameters_digest(replay),
        "same_bits": difference is None,
        "difference": asdict(difference) if difference else None,
    }
