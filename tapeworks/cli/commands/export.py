"""`tapeworks export`: a run's history, parameters or network as a file for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from tapeworks.cli.choices import Choice, parameters_of, with_choice
from tapeworks.cli.commands.show import run_argument
from tapeworks.cli.connection import open_history
from tapeworks.cli.exports import HISTORIES, TEXTS, Form, export_content
from tapeworks.cli.files import (
    check_directory_writable,
    check_writable,
    put_path,
    write_file,
    write_whole,
)
from tapeworks.cli.option_kinds import PathType
from tapeworks.cli.output import put, say
from tapeworks.errors import ExitCode, UsageError
from tapeworks.model.config import restore_config
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord

#: The ending of Keras's own files, without which it loads none.
KERAS_ENDING = ".keras"

#: The file that the directory of every SavedModel holds.
SAVED_MODEL_MARK = "saved_model.pb"


EPILOG = """\b
Examples:
  tapeworks export first --to csv --output first.csv
  tapeworks export first --to keras --best loss --output first.keras
"""


@click.command("export", epilog=EPILOG)
@run_argument
@click.option(
    "--to",
    type=click.Choice([form.value for form in Form]),
    default=Form.CSV.value,
    show_default=True,
    help="csv, json, parquet: the history; safetensors: the parameters; "
    "keras, savedmodel: the network with its parameters",
)
@click.option(
    "--output",
    type=PathType(),
    help="file to write, of savedmodel a directory  [default: csv and json to stdout]",
)
@with_choice
def export_command(run: str, to: str, output: Path | None, choice: Choice) -> int:
    """Write a run's history, parameters or network to a file.

    The Keras model and the SavedModel take images as float32 (n, side, side) in [0, 1], grey
    levels divided by 255, and give logits (n, classes) in the order of the run's classes. They
    are made of Keras's own layers and load without Tapeworks.
    """
    form = Form(to)
    _check(form, output, choice)
    history = open_history()
    found = history.find_run(run)
    if output is None:
        put(export_content(history, found, form, choice).decode().rstrip("\n"))
        return ExitCode.DONE
    if form in {Form.KERAS, Form.SAVEDMODEL}:
        _write_network(history, found, form, choice, output)
    else:
        write_file(output, export_content(history, found, form, choice))
    put_path(output)
    return ExitCode.DONE


def _check(form: Form, output: Path | None, choice: Choice) -> None:
    """Refuse what cannot work before anything is read."""
    if choice.is_made and form in HISTORIES:
        raise UsageError(f"--after and --best choose parameters. Received: --to {form.value}.")
    if output is None:
        if form not in TEXTS:
            raise UsageError(f"{form.value} is no text; name a file with --output.")
    elif form is Form.SAVEDMODEL:
        check_directory_writable(output, SAVED_MODEL_MARK)
    elif form is Form.KERAS and output.suffix != KERAS_ENDING:
        raise UsageError(f"Keras loads files that end in {KERAS_ENDING}. Received: {output}.")
    else:
        check_writable(output)


def _write_network(
    history: History, run: RunRecord, form: Form, choice: Choice, output: Path
) -> None:
    checkpoint = choice.checkpoint(history, run)
    from tapeworks.cli import keras_export  # takes seconds: it loads TensorFlow and Keras

    config = restore_config(run.configuration)
    if not config.is_built_in:
        raise UsageError(
            f"Only the built-in network can be exported as {form.value}; export the parameters "
            f"of {config.network} with --to safetensors, and build your own model around them."
        )
    arrays = parameters_of(checkpoint, config.spec)
    model = keras_export.keras_model(config.built_in, arrays)
    with write_whole(output) as complete:
        keras_export.write(model, complete, as_directory=form is Form.SAVEDMODEL)
    say(f"The logits stand in the order of the classes: {', '.join(map(str, config.classes))}")
