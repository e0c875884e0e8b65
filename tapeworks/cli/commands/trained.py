"""`tapeworks evaluate` and `tapeworks predict`: use a run's trained parameters."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from tapeworks.cli.choices import Choice, parameters_of, with_choice
from tapeworks.cli.commands.show import run_argument
from tapeworks.cli.connection import open_history
from tapeworks.cli.option_kinds import PathType, Whole
from tapeworks.cli.outputs.describe import as_json
from tapeworks.cli.outputs.printing import put, put_table, say
from tapeworks.cluster.evaluating import choose_images, evaluate
from tapeworks.errors import ExitCode
from tapeworks.model.config import RunConfig, restore_config
from tapeworks.model.networks.own.allowed import allow
from tapeworks.prediction import Prediction, predict, read_pictures
from tapeworks.scheduler.driving.driver import find_source
from tapeworks.storage.records import (
    EvaluationRecord,
    iteration_count,
    loss_text,
    sum_words,
)

EVALUATE_EPILOG = """\b
Examples:
  tapeworks evaluate first
  tapeworks evaluate first --best loss --test-images 1000 --workers 2
"""

PREDICT_EPILOG = """\b
Examples:
  tapeworks predict first digit.png
  tapeworks predict first photo-1.jpg photo-2.jpg --invert
  tapeworks predict first more.npz --best accuracy --json
"""


@click.command("evaluate", epilog=EVALUATE_EPILOG)
@run_argument
@with_choice
@click.option(
    "--test-images",
    type=Whole(1),
    help="held-out images  [default: as many as the run has]",
)
@click.option(
    "--workers",
    type=Whole(0),
    default=0,
    show_default=True,
    help="worker processes behind a private Redis; 0 needs no queue",
)
@click.option("--json", is_flag=True, help="print JSON")
def evaluate_command(
    run: str, choice: Choice, test_images: int | None, workers: int, json: bool
) -> int:
    """Measure loss and accuracy of a run's parameters on images that it was not trained on.

    Tells which classes are taken for which. Needs the run's data set on this machine, and writes
    nothing into the history.
    """
    history = open_history()
    record = history.find_run(run)
    checkpoint = choice.checkpoint(history, record)
    source = find_source(history, restore_config(record.configuration))
    config = choose_images(record, test_images)
    evaluation = evaluate(record, config, checkpoint, source, workers)
    if json:
        put(as_json({**asdict(evaluation), "classes": config.classes}))
    else:
        _put_lines(evaluation, config)
    return ExitCode.DONE


def _put_lines(evaluation: EvaluationRecord, config: RunConfig) -> None:
    put(f"parameters  after {iteration_count(evaluation.completed_iterations)}")
    put(f"loss        {loss_text(evaluation.loss)}, {sum_words(evaluation.images)}")
    images = f"{evaluation.images} held-out images"
    if evaluation.accuracy is None:
        put(f"images      {images}")
    else:
        put(f"accuracy    {evaluation.accuracy:.1%} of {images}")
    if evaluation.confusion is None:
        return
    put("")
    put_table(
        ["LABEL", *(f"AS {label}" for label in config.classes)],
        [
            [str(label), *map(str, counts)]
            for label, counts in zip(config.classes, evaluation.confusion, strict=True)
        ],
    )


@click.command("predict", epilog=PREDICT_EPILOG)
@run_argument
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=PathType())
@with_choice
@click.option("--invert", is_flag=True, help="turn pictures: black is white, and white black")
@click.option("--json", is_flag=True, help="print JSON")
def predict_command(
    run: str, files: tuple[Path, ...], choice: Choice, invert: bool, json: bool
) -> int:
    """Tell what images show: the likeliest label, and a probability for every class.

    A FILE is a PNG or JPEG picture of any size, or an .npz with images and, if it has them, labels.
    Pictures are made grey if the network's are, and brought to the size of the run's own images
    whole, with what is left beside them in the level of their border; then, for the built-in
    network, cropped or enlarged as those were. Those that look inverted beside the run's images,
    as ink on paper does, are named and marked; --invert turns them. So are those in which what is
    shown is small; crop them. Other images than pictures must have the run's shape and type.
    """
    history = open_history()
    record = history.find_run(run)
    config = restore_config(record.configuration)
    parameters = parameters_of(choice.checkpoint(history, record), config.spec)
    if (source := find_source(history, config)) is not None:
        allow(source)
    pictures = read_pictures(files, config, invert=invert)
    for notice in (notice for each in pictures for notice in each.notices):
        say(notice)
    found = [row for each in pictures for row in predict(each, config, parameters)]
    if json:
        put(as_json([asdict(prediction) for prediction in found]))
    else:
        _put_table(found)
    _report_labels(found)
    return ExitCode.DONE


def _put_table(found: list[Prediction]) -> None:
    labels = list(found[0].probabilities)
    doubts = ["LOOKS"] if any(each.looks for each in found) else []
    put_table(
        ["FILE", "IMAGE", "LABEL", "PREDICTED", *doubts, *(f"P({label})" for label in labels)],
        [
            [
                each.file,
                str(each.image),
                "-" if each.label is None else str(each.label),
                str(each.predicted),
                *(each.looks or "-" for _ in doubts),
                *(f"{each.probabilities[label]:.4f}" for label in labels),
            ]
            for each in found
        ],
    )


def _report_labels(found: list[Prediction]) -> None:
    labelled = [each for each in found if each.label is not None]
    if labelled:
        right = sum(each.label == each.predicted for each in labelled)
        say(f"{right} of {len(labelled)} images with a label are predicted rightly")
