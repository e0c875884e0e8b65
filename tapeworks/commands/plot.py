"""`tapeworks plot`: the loss curves of one or several runs in one picture."""

from __future__ import annotations

from pathlib import Path

import click

from tapeworks.connection import connected_history
from tapeworks.errors import ExitCode
from tapeworks.output import check_writable, put, write_file
from tapeworks.plots import draw_loss, loss_curve, plot_format


@click.command("plot")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default="loss_curve.png",
    show_default=True,
    help="file to write, .png or .svg",
)
def command(runs: tuple[str, ...], output: Path) -> int:
    """Draw the loss over the iterations. Prints the path of the picture."""
    picture_format = plot_format(output)
    check_writable(output)
    history = connected_history()
    curves = [loss_curve(history, history.find_run(run)) for run in runs]
    write_file(output, draw_loss(curves, picture_format))
    put(str(output.resolve()))
    return ExitCode.DONE
