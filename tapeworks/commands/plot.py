"""`tapeworks plot`: the loss curves of one or several runs in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from storage.history import History
from tapeworks.errors import ExitCode
from tapeworks.output import check_writable, put, write_file
from tapeworks.plots import draw_loss, loss_curve, plot_format
from tapeworks.settings import settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plot")(plot)


def plot(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="id, unique prefix of one, or name")
    ],
    output: Annotated[Path, typer.Option(help="file to write, .png or .svg")] = Path(
        "loss_curve.png"
    ),
) -> int:
    """Draw the loss over the iterations. Prints the path of the picture."""
    picture_format = plot_format(output)
    check_writable(output)
    history = History.open(settings().database_url)
    curves = [loss_curve(history, history.find_run(run)) for run in runs]
    write_file(output, draw_loss(curves, picture_format))
    put(str(output.resolve()))
    return ExitCode.DONE
