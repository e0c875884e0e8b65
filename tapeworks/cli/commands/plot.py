"""`tapeworks plot`: pictures of runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tapeworks.cli.completion import complete_run_or_grid, complete_setting_name
from tapeworks.cli.connection import open_history
from tapeworks.cli.option_kinds import PathType, Whole
from tapeworks.cli.outputs.describe import as_json
from tapeworks.cli.outputs.files import check_writable, put_path, write_file
from tapeworks.cli.outputs.picture_files import LOSS_CURVE, find_place
from tapeworks.cli.outputs.printing import put, say
from tapeworks.errors import ExitCode, UsageError
from tapeworks.plotting.hardest import MOST_IMAGES, SHEET
from tapeworks.plotting.image_losses import By
from tapeworks.plotting.kinds import Kind, Wanted, content, list_runs, picture, picture_format
from tapeworks.storage.glances import find_named
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord


@click.command("plot", epilog="Example: tapeworks plot first second --kind accuracy")
@click.argument(
    "runs", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_run_or_grid
)
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in Kind]),
    default=Kind.LOSS.value,
    show_default=True,
    help="what to draw; images, timeline and hardest are of one run",
)
@click.option(
    "--iteration",
    type=Whole(0),
    help="timeline, hardest: only this one",
)
@click.option(
    "--by",
    type=click.Choice([by.value for by in By]),
    help="images, hardest: order by the last known loss or the mean over the iterations"
    "  [default: last]",
)
@click.option("--limit", type=Whole(1, MOST_IMAGES), help=f"hardest: so many  [default: {SHEET}]")
@click.option(
    "--image",
    "images",
    type=Whole(0),
    multiple=True,
    metavar="NUMBER",
    help="images: a line with the losses of this one alone; may be repeated",
)
@click.option(
    "--color-by",
    metavar="SETTING",
    shell_complete=complete_setting_name,
    help="curves: a colour for each value of a setting",
)
@click.option(
    "--mean-over",
    metavar="SETTING",
    shell_complete=complete_setting_name,
    help="curves: one line for runs that differ in this setting alone, with a band from the lowest "
    "to the highest",
)
@click.option(
    "--smooth",
    type=Whole(1),
    help="curves: draw the mean of each iteration with so many on either side",
)
@click.option("--title", help="what stands above the picture")
@click.option(
    "--output",
    type=PathType(),
    help=f"file to write, .png, .svg or .pdf  [default: {LOSS_CURVE} or KIND.png]",
)
@click.option("--json", is_flag=True, help="print what would be drawn, and draw nothing")
def plot_command(
    runs: tuple[str, ...],
    kind: str,
    by: str | None,
    images: tuple[int, ...],
    output: Path | None,
    json: bool,
    **asked: Any,
) -> int:
    """Draw runs, and print the path of the picture.

    RUN is an id, a unique prefix of one, a name, or the name of a grid: its newest runs.
    loss, accuracy, gradient-norm: over the iterations, of one or several runs. images: the loss of
    each image over the iterations. timeline: which worker computed when. hardest: the images with
    the highest loss, each with its label and prediction.
    """
    order = By(by) if by else None
    wanted = Wanted(kind=Kind(kind), by=order, images=images or None, **asked)
    wanted.check(len(set(runs)))
    if json and output is not None:
        raise UsageError("--json prints what would be drawn; leave out --output, or --json.")
    path = output or (LOSS_CURVE if wanted.kind is Kind.LOSS else Path(f"{kind}.png"))
    ending = picture_format(path)
    if not json:
        check_writable(path)
    history = open_history()
    shown = content(history, _find_runs(history, runs), wanted)
    if json:
        put(as_json(shown.values() | {"title": wanted.title}))
    else:
        if output is None:
            path = find_place(path, list_runs(shown))
        write_file(path, picture(shown, ending, wanted.title))
        put_path(path)
    return ExitCode.DONE


def _find_runs(history: History, references: Sequence[str]) -> list[RunRecord]:
    """The runs in the order of the call, each once; of a grid those that have an iteration."""
    found: dict[str, RunRecord] = {}
    for reference in references:
        named = find_named(history.database, reference)
        begun = [run for run in named if run.completed_iterations > run.first_iteration] or named
        if len(begun) < len(named):
            say(f"{len(begun)} of {len(named)} runs of {reference} have an iteration to draw.")
        found |= {run.id: run for run in begun}
    return list(found.values())
