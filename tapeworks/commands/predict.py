"""`tapeworks predict`: what a run's network makes of images."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from tapeworks.checkpoints import Choice, parameters_of, with_choice
from tapeworks.commands.show import run_argument
from tapeworks.connection import connected_history
from tapeworks.describe import as_json
from tapeworks.errors import ExitCode
from tapeworks.model.config import RunConfig, recorded_config
from tapeworks.model.datasets.sources import KNOWN
from tapeworks.output import put, put_table, say
from tapeworks.paths import PathType
from tapeworks.predictions import Pictures, Prediction, predict, read

EPILOG = """\b
Examples:
  tapeworks predict first digit.png
  tapeworks predict first more.npz --best accuracy --json
"""


@click.command("predict", epilog=EPILOG)
@run_argument
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=PathType())
@with_choice
@click.option("--json", is_flag=True, help="print JSON")
def command(run: str, files: tuple[Path, ...], choice: Choice, json: bool) -> int:
    """Tell what images show: the likeliest label, and a probability for every class.

    A FILE is a PNG, or an .npz with images (n, rows, columns) and, if it has them, labels. Images
    are bright on dark, as the data sets are, and are brought to the network's side as the run's
    own were: for a run on digits, square ones are resampled; for one on MNIST, its 28 by 28 pixels
    are cropped; for one on a file of yours, larger ones are cropped.
    """
    history = connected_history()
    record = history.find_run(run)
    config = recorded_config(record.configuration)
    parameters = parameters_of(choice.checkpoint(history, record), config.network)
    pictures = [read(file, config) for file in files]
    for each in pictures:
        _tell_of_cropping(each, config)
    found = [row for each in pictures for row in predict(each, config, parameters)]
    if json:
        put(as_json([asdict(prediction) for prediction in found]))
    else:
        _put_table(found)
    _tell_of_labels(found)
    return ExitCode.DONE


def _tell_of_cropping(pictures: Pictures, config: RunConfig) -> None:
    """A user's own data set may have images of any size, and so may what was meant for another."""
    side, (rows, columns) = config.image_side, pictures.size
    if config.dataset not in KNOWN and (rows, columns) != (side, side):
        say(
            f"{pictures.file}: of {rows} by {columns} pixels the {side} by {side} at the top left "
            "are looked at, as of the run's own images"
        )


def _put_table(found: list[Prediction]) -> None:
    labels = list(found[0].probabilities)
    put_table(
        ["FILE", "IMAGE", "LABEL", "PREDICTED", *(f"P({label})" for label in labels)],
        [
            [
                each.file,
                str(each.image),
                "-" if each.label is None else str(each.label),
                str(each.predicted),
                *(f"{each.probabilities[label]:.4f}" for label in labels),
            ]
            for each in found
        ],
    )


def _tell_of_labels(found: list[Prediction]) -> None:
    labelled = [each for each in found if each.label is not None]
    if labelled:
        right = sum(each.label == each.predicted for each in labelled)
        say(f"{right} of {len(labelled)} images with a label are predicted rightly")
