"""`tapeworks export`: runs' histories, or a run's parameters or network, for other programs."""

from __future__ import annotations

from itertools import chain

import click

from tapeworks.cli.choices import Choice, with_choice
from tapeworks.cli.completion import complete_run_or_grid
from tapeworks.cli.connection import open_history
from tapeworks.cli.option_kinds import WrittenPath
from tapeworks.cli.outputs.files import put_path
from tapeworks.cli.outputs.printing import put, say
from tapeworks.errors import ExitCode
from tapeworks.exporting.files import Export, plan_export, write_export
from tapeworks.exporting.forms import HISTORIES, NETWORKS, Form
from tapeworks.storage.glances import find_named
from tapeworks.storage.records import RunRecord

EPILOG = """\b
Examples:
  tapeworks export first --output first.csv
  tapeworks export first grid --output runs.parquet
  tapeworks export first --best loss --output first.keras
  tapeworks export first --output first/
"""


@click.command("export", epilog=EPILOG)
@click.argument(
    "runs", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_run_or_grid
)
@click.option(
    "--to",
    type=click.Choice([form.value for form in Form]),
    help="csv, json, parquet: the history; safetensors: the parameters; "
    "keras, savedmodel: the network with its parameters  [default: by the ending of --output, "
    "else csv]",
)
@click.option(
    "--output",
    type=WrittenPath(),
    help="file to write, of savedmodel a directory, which ends in a slash  [default: csv and json "
    "to stdout]",
)
@with_choice
def export_command(
    runs: tuple[str, ...], to: str | None, output: str | None, choice: Choice
) -> int:
    """Write runs' histories, or a run's parameters or network, to a file.

    RUN is an id, a unique prefix of one, a name, or a grid's name, which means all its runs.
    Histories of several runs are one table, whose columns run and run_name tell them apart;
    test_loss and test_accuracy were measured on held-out images after that iteration.

    The Keras model and the SavedModel take images as float32 (n, side, side) in [0, 1], grey
    levels divided by 255, and give logits (n, classes) in the order of the run's classes. They
    are made of Keras's own layers and load without Tapeworks.
    """
    export = plan_export(output, Form(to) if to else None, choice=choice, runs=len(set(runs)))
    history = open_history()
    named = (find_named(history.database, reference) for reference in runs)
    found = list({run.id: run for run in chain.from_iterable(named)}.values())
    content = write_export(history, found, export)
    if content is not None:
        put(content.decode().rstrip("\n"))
    _report(found, export)
    if export.output is not None:
        put_path(export.output)
    return ExitCode.DONE


def _report(runs: list[RunRecord], export: Export) -> None:
    if export.form in NETWORKS:
        classes = ", ".join(map(str, runs[0].configuration["classes"]))
        say(f"The logits stand in the order of the classes: {classes}")
    if export.form in HISTORIES:
        for run in runs:
            if run.final_loss is None:
                say(f"Run {run.id} has no iteration yet; it is {run.status.value}")
