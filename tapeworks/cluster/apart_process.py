"""The process that computes for a program.

    python -P -m tapeworks.cluster.apart_process

It reads its task from stdin as a line of JSON, writes messages to stdout, one on a line, and stops
when its stdin is closed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
from pydantic import TypeAdapter

from tapeworks import prediction
from tapeworks.cli.choices import parameters_of
from tapeworks.cli.outputs.describe import as_json
from tapeworks.cluster import evaluating
from tapeworks.cluster.apart import PARAMETERS_FILE
from tapeworks.cluster.session import Session
from tapeworks.cluster.watching.program_progress import SilentBar
from tapeworks.cluster.watching.progress import Progress
from tapeworks.errors import EXPECTED
from tapeworks.exporting.files import write_network
from tapeworks.exporting.forms import Form
from tapeworks.model import datasets
from tapeworks.model.config import restore_config
from tapeworks.model.networks.own.allowed import allow
from tapeworks.places import find_places
from tapeworks.prediction import read_pictures, take_images
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tapeworks.storage.records import (
    CheckpointRecord,
    EvaluationRecord,
    IterationRecord,
    RunRecord,
)

Tell = Callable[[str], None]


def main() -> None:
    """Do the task; an expected error is a message, any other one shows its traceback."""
    messages = _take_stdout()
    asked = json.loads(sys.stdin.readline() or "{}")
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        result = TASKS[asked["task"]](asked, lambda told: _send(messages, told=told))
    except EXPECTED as error:
        _send(messages, error=type(error).__name__, sentence=str(error))
    else:
        _send(messages, result=result)


class Notices(Progress):
    """Passes notices on; the program reads iterations and evaluations from the history."""

    def show(self, record: IterationRecord) -> None:
        """Nothing."""

    def show_evaluation(self, record: EvaluationRecord) -> None:
        """Nothing."""


def train(asked: dict[str, Any], tell: Tell) -> None:
    """Drive a stored run, with workers of its own."""
    with closing(Database(asked["database_url"])) as database:
        history = History(database)
        run = history.find_run(asked["run"])
        config = restore_config(run.configuration)
        Session(
            history=history,
            places=find_places(),
            control=Control(asked["stop_after"]),
            workers=asked["workers"],
            pinned=asked["pinned"],
            tell=tell,
            tell_at_once=lambda _: None,
            make_progress=lambda *_: Notices(1, make_bar=lambda *_: SilentBar(tell)),
        ).run(run, config, datasets.load(config))


def evaluate(asked: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Measure a run's parameters on held-out images."""
    run = TypeAdapter(RunRecord).validate_python(asked["run"])
    config = evaluating.choose_images(run, asked["test_images"])
    checkpoint, source = _read_checkpoint(asked), asked["source"]
    return asdict(evaluating.evaluate(run, config, checkpoint, source, asked["workers"], tell))


def predict(asked: dict[str, Any], tell: Tell) -> list[dict[str, Any]]:
    """Tell what images in files, or in an array, show."""
    config, checkpoint = restore_config(asked["run"]["configuration"]), _read_checkpoint(asked)
    parameters = parameters_of(checkpoint, config.spec)
    if asked["source"] is not None:
        allow(asked["source"])
    if asked["array"] is None:
        pictures = read_pictures(map(Path, asked["files"]), config, invert=asked["invert"])
    else:
        with np.load(asked["array"]) as file:
            pictures = [take_images(file["images"], config, invert=asked["invert"])]
    for notice in (notice for each in pictures for notice in each.notices):
        tell(notice)
    return [
        asdict(one) for each in pictures for one in prediction.predict(each, config, parameters)
    ]


def export(asked: dict[str, Any], _: Tell) -> None:
    """Write a run's network as a Keras model."""
    config = restore_config(asked["run"]["configuration"])
    write_network(config, _read_checkpoint(asked), Form(asked["form"]), Path(asked["output"]))


def _read_checkpoint(asked: dict[str, Any]) -> CheckpointRecord:
    return CheckpointRecord(
        run_id=asked["run"]["id"],
        completed_iterations=asked["completed_iterations"],
        digest=asked["digest"],
        parameters=(Path(asked["directory"]) / PARAMETERS_FILE).read_bytes(),
    )


TASKS: dict[str, Callable[[dict[str, Any], Tell], Any]] = {
    "evaluate": evaluate,
    "export": export,
    "predict": predict,
    "train": train,
}


def _take_stdout() -> IO[str]:
    """Return stdout, and have what else is printed in this process go to stderr."""
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return messages


def _send(messages: IO[str], **message: Any) -> None:
    try:
        messages.write(as_json(message).replace("\n", "") + "\n")
        messages.flush()
    except BrokenPipeError:  # the program was killed; what is begun here ends in order
        os.dup2(os.open(os.devnull, os.O_WRONLY), messages.fileno())


def _stop_with_parent() -> None:
    """Wait for the other end of stdin to be closed, also by a parent that was killed."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
