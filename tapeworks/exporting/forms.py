"""Forms of an export, and the form that an output's name asks for."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

from tapeworks.cli.outputs.destinations import is_stream
from tapeworks.errors import UsageError


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

#: Forms of the history, of any number of runs; all others are of one run's parameters, which may
#: be chosen.
HISTORIES = {Form.CSV, Form.JSON, Form.PARQUET}

#: Forms of a run's whole network.
NETWORKS = {Form.KERAS, Form.SAVEDMODEL}

#: The form of each ending that files of a form have.
ENDINGS = {f".{form}": form for form in Form if form is not Form.SAVEDMODEL}

#: The ending of Keras's own files, without which it loads none.
KERAS_ENDING = ".keras"


def choose_form(output: str | os.PathLike[str] | None, asked: Form | None = None) -> Form:
    """Return the form that is asked for, else the one that the output's name tells.

    A directory, or a name that ends in a slash, is that of a SavedModel. What has no name (None,
    a pipe, a device) gets CSV. Raises `UsageError` for an unknown or a contradicting name.
    """
    if output is None:
        return asked or Form.CSV
    told = _tell_form(os.fspath(output))
    if asked is None:
        return told or _name_form(Path(output), os.fspath(output))
    if told not in {None, asked} and not (told is Form.SAVEDMODEL and _is_directory(output)):
        raise UsageError(
            f"The name of the output tells of {told}. Expected another name, or no --to. "
            f"Received: --to {asked} --output {os.fspath(output)}."
        )
    if asked is Form.KERAS and told is None:
        raise UsageError(f"Keras loads files that end in {KERAS_ENDING}. Received: {output}.")
    return asked


def _tell_form(output: str) -> Form | None:
    """The form that the name tells, or the directory that is there."""
    form = ENDINGS.get(Path(output).suffix.lower())
    is_directory = output.endswith(os.sep) or (form is None and _is_directory(output))
    return Form.SAVEDMODEL if is_directory else form


def _is_directory(output: str | os.PathLike[str]) -> bool:
    try:
        return Path(output).is_dir()
    except OSError:  # the check of the place says what is wrong with it
        return False


def _name_form(path: Path, output: str) -> Form:
    """The form of what has no ending of a form's."""
    if is_stream(path):
        return Form.CSV
    raise UsageError(
        f"Expected an output that ends in {', '.join(ENDINGS)}, or a directory, which ends in "
        f"{os.sep}, for a SavedModel; --to FORM decides where a name does not. "
        f"Received: --output {output}."
    )
