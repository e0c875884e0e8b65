"""`tapeworks export`: a run's history, parameters or network as a file for other programs."""

from __future__ import annotations

import csv
import errno
import io
import os
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from tapeworks.cli.choices import Choice, parameters_of, with_choice
from tapeworks.cli.commands.show import run_argument
from tapeworks.cli.connection import connected_history
from tapeworks.cli.describe import as_json, run_values
from tapeworks.cli.files import (
    check_directory_writable,
    check_writable,
    put_path,
    write_file,
    written_whole,
)
from tapeworks.cli.option_kinds import PathType
from tapeworks.cli.output import put, say
from tapeworks.errors import ExitCode, UsageError
from tapeworks.model.config import NetworkConfig, recorded_config
from tapeworks.model.keras_settings import without_keras_settings
from tapeworks.model.parameters import Arrays
from tapeworks.model.runtime import tf
from tapeworks.storage.history import History
from tapeworks.storage.records import IterationRecord, RunRecord

#: Names of what goes into the model and comes out of it.
IMAGES, LOGITS = "images", "logits"


def keras_model(network: NetworkConfig, parameters: Arrays) -> Any:
    """The network from float32 images (n, side, side) in [0, 1] to logits (n, classes)."""
    layers, side = _keras().layers, network.image_side
    images = layers.Input((side, side), dtype="float32", name=IMAGES)
    maps = layers.Reshape((side, side, 1), dtype="float32")(images)
    for layer, size in enumerate(network.kernel_sizes, start=1):
        maps = layers.Conv2D(
            network.filters,
            size,
            data_format="channels_last",  # named, as the types are: Keras's file may say otherwise
            activation="relu",
            use_bias=False,
            dtype="float32",
            name=f"conv_{layer}",
        )(maps)
    flat = layers.Flatten(data_format="channels_last", dtype="float32")(maps)
    dense = layers.Dense(network.class_count, use_bias=False, dtype="float32", name=LOGITS)
    model = _keras().Model(images, dense(flat), name="tapeworks")
    model.set_weights(_kernels(network, parameters))
    return model


def write(model: Any, path: Path, *, as_directory: bool) -> None:
    """Write a SavedModel's directory, or a file for `keras.models.load_model`.

    Raises `OSError`.
    """
    try:
        if as_directory:
            model.export(path, verbose=False)
        else:
            model.save(path)
    except tf.errors.OpError as error:
        reason = error.message.rpartition("; ")[2].partition(" [Op:")[0]  # without TensorFlow's own
        raise OSError(errno.EIO, reason) from error


def _kernels(network: NetworkConfig, parameters: Arrays) -> list[NDArray[np.float32]]:
    """The parameters as Keras's layers have them: what goes in comes before what comes out.

    A filter is shared by all the maps of the layer below, so it is repeated for each of them.
    """
    kernels, channels = [], 1
    *convolutions, dense = (parameters[name] for name in network.shapes)
    for filters in convolutions:
        by_pixel = filters.transpose(1, 2, 0)[:, :, np.newaxis]  # (rows, columns, 1, filters)
        kernels.append(by_pixel.repeat(channels, axis=2))
        channels = network.filters
    # The maps lie flat as rows, columns, filters.
    kernels.append(dense.transpose(2, 3, 1, 0).reshape(-1, network.class_count))
    return kernels


def _keras() -> Any:
    """Keras over TensorFlow, which has been loaded by now as `model/runtime.py` sets it."""
    os.environ["KERAS_BACKEND"] = "tensorflow"  # set, not defaulted: the shell may name another
    with without_keras_settings():
        import keras

    return keras


#: The ending of Keras's own files, without which it loads none.
KERAS_ENDING = ".keras"

#: The file that the directory of every SavedModel holds.
SAVED_MODEL_MARK = "saved_model.pb"


class Form(StrEnum):
    """The forms of an export."""

    CSV = "csv"  #: the history, a row per iteration
    JSON = "json"  #: the run with all its iterations
    PARQUET = "parquet"  #: the history, a typed row per iteration
    SAFETENSORS = "safetensors"  #: the parameters
    KERAS = "keras"  #: the network with its parameters, a Keras file
    SAVEDMODEL = "savedmodel"  #: the network with its parameters, a directory for TensorFlow


#: Forms that are text, and may go to stdout.
TEXTS = {Form.CSV, Form.JSON}

#: Forms of the history; all others are of parameters, which may be chosen.
HISTORIES = {Form.CSV, Form.JSON, Form.PARQUET}

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
    history = connected_history()
    found = history.find_run(run)
    if output is None:
        put(_content(history, found, form, choice).decode().rstrip("\n"))
        return ExitCode.DONE
    if form in {Form.KERAS, Form.SAVEDMODEL}:
        _write_network(history, found, form, choice, output)
    else:
        write_file(output, _content(history, found, form, choice))
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


def _content(history: History, run: RunRecord, form: Form, choice: Choice) -> bytes:
    if form is Form.SAFETENSORS:
        return choice.checkpoint(history, run).parameters
    rows = [_row(record) for record in history.iterations(run.id)]
    if form is Form.JSON:
        return as_json(run_values(history, run) | {"history": rows}).encode() + b"\n"
    if not rows:
        raise UsageError(f"Run {run.id} has no iteration yet; it is {run.status.value}.")
    return _parquet(rows) if form is Form.PARQUET else _csv(rows)


def _row(record: IterationRecord) -> dict[str, Any]:
    return {name: value for name, value in asdict(record).items() if name != "run_id"}


def _csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"started_at": row["started_at"].isoformat()} for row in rows)
    return text.getvalue().encode()


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return file.getvalue()


def _write_network(
    history: History, run: RunRecord, form: Form, choice: Choice, output: Path
) -> None:
    checkpoint = choice.checkpoint(history, run)
    from tapeworks.cli.commands import (
        export as keras_export,  # takes seconds: it loads TensorFlow and Keras
    )

    config = recorded_config(run.configuration)
    arrays = parameters_of(checkpoint, config.network)
    model = keras_export.keras_model(config.network, arrays)
    with written_whole(output) as complete:
        keras_export.write(model, complete, as_directory=form is Form.SAVEDMODEL)
    say(f"The logits stand in the order of the classes: {', '.join(map(str, config.classes))}")
