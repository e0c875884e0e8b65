"""`tapeworks export`: a run's history or parameters as a file for other programs."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any

import click

from storage.history import History
from storage.records import RunRecord
from tapeworks.commands.show import run_argument
from tapeworks.connection import connected_history
from tapeworks.describe import as_json, run_values
from tapeworks.errors import ExitCode, UsageError
from tapeworks.output import check_writable, put, write_file


class Form(StrEnum):
    """What to export."""

    CSV = "csv"  #: the history, a row per iteration
    JSON = "json"  #: the run with all its iterations
    SAFETENSORS = "safetensors"  #: the parameters


@click.command("export")
@run_argument
@click.option(
    "--to",
    type=click.Choice([form.value for form in Form]),
    default=Form.CSV.value,
    show_default=True,
    help="csv or json: the history; safetensors: the parameters",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="file to write  [default: csv and json to stdout]",
)
@click.option(
    "--after",
    type=click.IntRange(min=0),
    help="parameters after so many iterations  [default: the newest]",
)
def command(run: str, to: str, output: Path | None, after: int | None) -> int:
    """Write a run's history or parameters to a file."""
    form = Form(to)
    if after is not None and form is not Form.SAFETENSORS:
        raise UsageError(f"--after chooses parameters. Received: --to {to}.")
    if output is None and form is Form.SAFETENSORS:
        raise UsageError("Parameters are not text; name a file with --output.")
    if output is not None:
        check_writable(output)
    history = connected_history()
    content = _content(history, history.find_run(run), form, after)
    if output is None:
        put(content.decode().rstrip("\n"))
    else:
        write_file(output, content)
        put(str(output.resolve()))
    return ExitCode.DONE


def _content(history: History, run: RunRecord, to: Form, after: int | None) -> bytes:
    if to is Form.SAFETENSORS:
        return history.checkpoint(run.id, after).parameters
    iterations = [_row(asdict(record)) for record in history.iterations(run.id)]
    if to is Form.JSON:
        return as_json(run_values(history, run) | {"history": iterations}).encode() + b"\n"
    if not iterations:
        raise UsageError(f"Run {run.id} has no iteration yet; it is {run.status.value}.")
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(iterations[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(iterations)
    return text.getvalue().encode()


def _row(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "run_id"} | {
        "started_at": values["started_at"].isoformat()
    }
