"""`tapeworks plot`: pictures of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tapeworks.cli.completion import complete_run
from tapeworks.cli.connection import open_history
from tapeworks.cli.describe import as_json
from tapeworks.cli.files import check_writable, put_path, write_file
from tapeworks.cli.option_kinds import PathType, Whole
from tapeworks.cli.output import put
from tapeworks.errors import ExitCode, UsageError
from tapeworks.plotting.hardest import MOST_IMAGES, SHEET
from tapeworks.plotting.image_losses import By
from tapeworks.plotting.kinds import Kind, Wanted, content, picture, picture_format

#: What a picture is called that is given no name, unless it is called as its kind.
LOSS_CURVE = Path("loss_curve.png")


@click.command("plot", epilog="Example: tapeworks plot first second --kind accuracy")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_run)
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
    "--output",
    type=PathType(),
    help=f"file to write, .png, .svg or .pdf  [default: {LOSS_CURVE} or KIND.png]",
)
@click.option("--json", is_flag=True, help="print what would be drawn, and draw nothing")
def plot_command(
    runs: tuple[str, ...],
    kind: str,
    by: str | None,
    output: Path | None,
    json: bool,
    **asked: Any,
) -> int:
    """Draw runs, and print the path of the picture.

    loss, accuracy, gradient-norm: over the iterations, of one or several runs. images: the loss of
    each image over the iterations. timeline: which worker computed when. hardest: the images with
    the highest loss, each with its label and prediction.
    """
    wanted = Wanted(kind=Kind(kind), by=By(by) if by else None, **asked)
    wanted.check(len(set(runs)))
    if json and output is not None:
        raise UsageError("--json prints what would be drawn; leave out --output, or --json.")
    path = output or (LOSS_CURVE if wanted.kind is Kind.LOSS else Path(f"{kind}.png"))
    ending = picture_format(path)
    if not json:
        check_writable(path)
    history = open_history()
    found = {run.id: run for run in map(history.find_run, runs)}
    shown = content(history, list(found.values()), wanted)
    if json:
        put(as_json(shown.values()))
    else:
        write_file(path, picture(shown, ending))
        put_path(path)
    return ExitCode.DONE
