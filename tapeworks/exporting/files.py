"""Exports written to files: checked before anything is read, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tapeworks.cli.choices import NEWEST, Choice, parameters_of
from tapeworks.cli.outputs.files import (
    check_directory_writable,
    check_writable,
    write_file,
    write_whole,
)
from tapeworks.errors import UsageError
from tapeworks.exporting.contents import export_content
from tapeworks.exporting.forms import HISTORIES, NETWORKS, TEXTS, Form, choose_form
from tapeworks.model.config import RunConfig, restore_config
from tapeworks.storage.history import History
from tapeworks.storage.records import CheckpointRecord, RunRecord

#: The file that the directory of every SavedModel holds.
SAVED_MODEL_MARK = "saved_model.pb"


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """A form, and the place of a file or directory; None: the caller takes the content."""

    form: Form
    output: Path | None = None
    choice: Choice = NEWEST  #: of parameters


def plan_export(
    output: str | os.PathLike[str] | None,
    asked: Form | None = None,
    *,
    choice: Choice = NEWEST,
    runs: int = 1,
) -> Export:
    """Choose the form of an export, and refuse what cannot work before anything is read.

    Raises `UsageError`.
    """
    form = choose_form(output, asked)
    if choice.is_made and form in HISTORIES:
        raise UsageError(f"--after and --best choose parameters. Received: the form {form}.")
    _check_count(form, runs)
    if output is None:
        if form not in TEXTS:
            raise UsageError(f"{form} is no text; name a file with --output.")
        return Export(form=form, choice=choice)
    path = Path(output)
    if form is Form.SAVEDMODEL:
        check_directory_writable(path, SAVED_MODEL_MARK)
    else:
        check_writable(path)
    return Export(form=form, output=path, choice=choice)


def write_export(history: History, runs: Sequence[RunRecord], export: Export) -> bytes | None:
    """Write the export to its place, or return it where it has none.

    Raises `UsageError` for runs that it cannot be made of, storage's errors and `OutputFailed`.
    """
    _check_count(export.form, len(runs))
    if export.output is None:
        return export_content(history, runs, export.form, export.choice)
    if export.form in NETWORKS:
        _write_network(history, runs[0], export, export.output)
    else:
        write_file(export.output, export_content(history, runs, export.form, export.choice))
    return None


def _check_count(form: Form, runs: int) -> None:
    if runs > 1 and form not in HISTORIES:
        raise UsageError(f"Expected one run to export as {form}. Received: {runs} runs.")


def _write_network(history: History, run: RunRecord, export: Export, output: Path) -> None:
    checkpoint = export.choice.checkpoint(history, run)
    write_network(restore_config(run.configuration), checkpoint, export.form, output)


def write_network(
    config: RunConfig, checkpoint: CheckpointRecord, form: Form, output: Path
) -> None:
    """Write the built-in network with a checkpoint's parameters as a Keras model.

    Raises `UsageError` for a user's network, and `OutputFailed`.
    """
    from tapeworks.exporting import keras_model  # takes seconds: it loads TensorFlow and Keras

    if not config.is_built_in:
        raise UsageError(
            f"Only the built-in network can be exported as {form}; export the parameters "
            f"of {config.network} with --to safetensors, and build your own model around them."
        )
    model = keras_model.keras_model(config.built_in, parameters_of(checkpoint, config.spec))
    with write_whole(output) as complete:
        keras_model.write(model, complete, as_directory=form is Form.SAVEDMODEL)
