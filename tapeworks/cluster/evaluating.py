"""A run's parameters measured on held-out images, on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tapeworks.cli.choices import parameters_of
from tapeworks.cli.outputs.printing import say
from tapeworks.cluster.session import Onlooker, interruptible, means_for
from tapeworks.errors import UsageError
from tapeworks.model import datasets
from tapeworks.model.config import RunConfig, restore_config
from tapeworks.model.datasets.source import ImageData
from tapeworks.scheduler.driving.driver import check_images, images_digest
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.training import measure
from tapeworks.storage.records import CheckpointRecord, EvaluationRecord, RunRecord

#: What is said when the user does not wait.
STOPPED = "The evaluation was stopped; the history is as it was."


def choose_images(run: RunRecord, test_images: int | None) -> RunConfig:
    """Return the run's configuration with so many held-out images, or with its own.

    Raises `UsageError` for a run that holds none out.
    """
    config = restore_config(run.configuration)
    if not (config.test_images or test_images):
        raise UsageError(
            f"Run {run.id} holds no images out; say how many to take with --test-images."
        )
    return config.replace(test_images=test_images or config.test_images)


def evaluate(
    run: RunRecord,
    config: RunConfig,
    checkpoint: CheckpointRecord,
    source: str | None,
    workers: int,
    tell: Callable[[str], None] = say,
) -> EvaluationRecord:
    """Measure the checkpoint's parameters; nothing is written into the history.

    Reads the run's data set. `source` is that of its network, if it is a user's.
    """
    parameters_of(checkpoint, config.spec)
    data = datasets.load(config)
    check_images(run, images_digest(data))
    return _measure(run, config, source, checkpoint, data.test, workers, tell)


def _measure(
    run: RunRecord,
    config: RunConfig,
    source: str | None,
    checkpoint: CheckpointRecord,
    images: ImageData,
    workers: int,
    tell: Callable[[str], None],
) -> EvaluationRecord:
    control, anywhere = Control(), replace(run, fingerprint=None)  # nobody compares these bits
    with (
        interruptible(control, "Stopping"),
        means_for(anywhere, config, source, workers, None, control, tell=tell) as means,
    ):
        onlooker = Onlooker(means=means, control=control, tell=tell, stopped=STOPPED)
        means.dispatcher.begin(run.id, config.spec, None, allow_mixed=False)
        try:
            return measure(config, run.term, checkpoint, means.dispatcher, images, onlooker)
        finally:
            means.dispatcher.end(run.id, run.term)
