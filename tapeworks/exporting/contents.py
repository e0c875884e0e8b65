"""Runs' histories, or one run's parameters, as bytes for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from tapeworks.cli.choices import Choice
from tapeworks.cli.outputs.describe import as_json, run_values
from tapeworks.cli.outputs.listings import harmless
from tapeworks.errors import UsageError
from tapeworks.exporting.forms import Form
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord

#: Columns of numbers that may be missing in every row.
NUMBERS = ("accuracy", "test_loss", "test_accuracy")


def export_content(
    history: History, runs: Sequence[RunRecord], form: Form, choice: Choice
) -> bytes:
    """Return what an export of this form holds; only parameters, of one run, are a choice.

    Raises `UsageError` for a table without rows, and storage's errors.
    """
    if form is Form.SAFETENSORS:
        [run] = runs
        return choice.checkpoint(history, run).parameters
    if form is Form.JSON:
        told = [run_values(history, run) | {"history": _rows(history, run)} for run in runs]
        return as_json(told[0] if len(told) == 1 else told).encode() + b"\n"
    rows = [
        {"run": run.id, "run_name": run.name} | row for run in runs for row in _rows(history, run)
    ]
    if not rows:
        waiting = ", ".join(f"run {run.id} is {run.status.value}" for run in runs)
        raise UsageError(f"There is no iteration to export yet: {waiting}.")
    return _parquet(rows) if form is Form.PARQUET else _csv(rows)


def _rows(history: History, run: RunRecord) -> list[dict[str, Any]]:
    """The iterations, each with what was measured after it on held-out images, if anything was."""
    measured = {each.completed_iterations: each for each in history.evaluations(run.id)}
    rows = []
    for record in history.iterations(run.id):
        row = {name: value for name, value in asdict(record).items() if name != "run_id"}
        evaluation = measured.get(record.iteration + 1)
        held_out = {
            "test_loss": evaluation and evaluation.loss,
            "test_accuracy": evaluation and evaluation.accuracy,
            "test_images": evaluation and evaluation.images,
        }
        rows.append(_insert_after("accuracy", row, held_out))
    return rows


def _insert_after(name: str, row: dict[str, Any], columns: dict[str, Any]) -> dict[str, Any]:
    place = list(row).index(name) + 1
    items = list(row.items())
    return dict((*items[:place], *columns.items(), *items[place:]))


def _csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        told = {"run_name": harmless(row["run_name"]), "started_at": row["started_at"].isoformat()}
        writer.writerow(row | told)
    return text.getvalue().encode()


def _parquet(rows: Iterable[dict[str, Any]]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    file, table = io.BytesIO(), pyarrow.Table.from_pylist(rows)
    schema = table.schema
    kinds = dict.fromkeys(NUMBERS, pyarrow.float64())
    kinds |= {"run_name": pyarrow.string(), "test_images": pyarrow.int64()}
    for name, kind in kinds.items():  # also where there is none
        schema = schema.set(schema.get_field_index(name), pyarrow.field(name, kind))
    parquet.write_table(table.cast(schema), file)
    return file.getvalue()
