"""`tapeworks evaluate`: how a run's parameters do on held-out images."""

from __future__ import annotations

from dataclasses import asdict, replace

import click

from tapeworks.cli.choices import Choice, parameters_of, with_choice
from tapeworks.cli.commands.show import run_argument
from tapeworks.cli.connection import open_history
from tapeworks.cli.describe import as_json
from tapeworks.cli.output import put, put_table, say
from tapeworks.cluster.session import Onlooker, interruptible, means_for
from tapeworks.errors import ExitCode, UsageError
from tapeworks.model import datasets
from tapeworks.model.config import RunConfig, restore_config
from tapeworks.model.datasets.source import ImageData
from tapeworks.scheduler.driving.driver import check_images, images_digest
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.training import measure
from tapeworks.storage.records import CheckpointRecord, EvaluationRecord, RunRecord

#: What is said when the user does not wait.
STOPPED = "The evaluation was stopped; the history is as it was."

EPILOG = """\b
Examples:
  tapeworks evaluate first
  tapeworks evaluate first --best loss --test-images 1000 --workers 2
"""


@click.command("evaluate", epilog=EPILOG)
@run_argument
@with_choice
@click.option(
    "--test-images",
    type=click.IntRange(min=1),
    help="held-out images  [default: as many as the run has]",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
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
    config = _configuration(record, test_images)
    parameters_of(checkpoint, config.network)
    data = datasets.load(config)
    check_images(record, images_digest(data))
    evaluation = _measure(record, config, checkpoint, data.test, workers)
    if json:
        put(as_json({**asdict(evaluation), "classes": config.classes}))
    else:
        _put_lines(evaluation, config)
    return ExitCode.DONE


def _configuration(run: RunRecord, test_images: int | None) -> RunConfig:
    config = restore_config(run.configuration)
    if not (config.test_images or test_images):
        raise UsageError(
            f"Run {run.id} holds no images out; say how many to take with --test-images."
        )
    return config.model_copy(update={"test_images": test_images or config.test_images})


def _measure(
    run: RunRecord, config: RunConfig, checkpoint: CheckpointRecord, images: ImageData, workers: int
) -> EvaluationRecord:
    control, anywhere = Control(), replace(run, fingerprint=None)  # nobody compares these bits
    with (
        interruptible(control, "Stopping"),
        means_for(anywhere, config, workers, None, control) as means,
    ):
        onlooker = Onlooker(means=means, control=control, tell=say, stopped=STOPPED)
        means.dispatcher.begin(run.id, config.network, None, allow_mixed=False)
        try:
            return measure(config, run.term, checkpoint, means.dispatcher, images, onlooker)
        finally:
            means.dispatcher.end(run.id, run.term)


def _put_lines(evaluation: EvaluationRecord, config: RunConfig) -> None:
    put(f"parameters  after {evaluation.completed_iterations} iterations")
    put(f"loss        {evaluation.loss:.4f}")
    put(f"accuracy    {evaluation.accuracy:.1%} of {evaluation.images} held-out images")
    put("")
    put_table(
        ["LABEL", *(f"AS {label}" for label in config.classes)],
        [
            [str(label), *map(str, counts)]
            for label, counts in zip(config.classes, evaluation.confusion or [], strict=True)
        ],
    )
