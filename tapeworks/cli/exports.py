"""A run's history or parameters as bytes for other programs."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from tapeworks.cli.choices import Choice
from tapeworks.cli.describe import as_json, run_values
from tapeworks.errors import UsageError
from tapeworks.storage.history import History
from tapeworks.storage.records import IterationRecord, RunRecord


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


def export_content(history: History, run: RunRecord, form: Form, choice: Choice) -> bytes:
    """Return what an export of this form holds; only parameters are a choice.

    Raises `UsageError` for a table without rows, and storage's errors.
    """
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

    file, table = io.BytesIO(), pyarrow.Table.from_pylist(rows)
    accuracy = pyarrow.field("accuracy", pyarrow.float64())  # also where there is none
    schema = table.schema.set(table.schema.get_field_index("accuracy"), accuracy)
    parquet.write_table(table.cast(schema), file)
    return file.getvalue()
