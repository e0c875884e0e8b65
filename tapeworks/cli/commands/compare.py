"""`tapeworks compare`: the differences of runs, and proof that equal ones are equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import click

from tapeworks.cli.completion import complete_run_or_grid
from tapeworks.cli.connection import open_history
from tapeworks.cli.option_kinds import PathType, Whole
from tapeworks.cli.outputs.describe import as_json
from tapeworks.cli.outputs.destinations import full_name, is_stdout
from tapeworks.cli.outputs.files import check_writable, write_file
from tapeworks.cli.outputs.printing import put, put_lines, put_table, say
from tapeworks.comparison.runs import (
    Contender,
    Pair,
    contender,
    differing_facts,
    differing_settings,
    pairs,
)
from tapeworks.comparison.texts import bits_lines, reference_labels, table
from tapeworks.errors import ExitCode, UsageError
from tapeworks.plotting.kinds import Wanted, content, picture, picture_format
from tapeworks.storage.glances import find_named
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord


@click.command("compare", epilog="Example: tapeworks compare first second --plot both.png")
@click.argument(
    "runs", metavar="RUN RUN...", nargs=-1, required=True, shell_complete=complete_run_or_grid
)
@click.option(
    "--at",
    type=Whole(0),
    multiple=True,
    metavar="ITERATION",
    help="also the loss in this iteration; may be repeated",
)
@click.option(
    "--plot",
    type=PathType(),
    help="where to draw the loss curves, .png, .svg or .pdf",
)
@click.option("--json", is_flag=True, help="print JSON")
def compare_command(
    runs: tuple[str, ...], at: tuple[int, ...], plot: Path | None, json: bool
) -> int:
    """Show what tells runs apart: differing settings, losses, digests.

    Of runs that have one configuration it says whether they have the same bits, and if not, where
    they differ first. The name of a grid means its newest runs.
    """
    if plot is not None:
        picture_format(plot)
        check_writable(plot)
        if is_stdout(plot):
            raise UsageError("The comparison goes to standard output; name another --plot.")
    history = open_history()
    history.release_abandoned()
    found = _find_runs(history, runs)
    curves = content(history, found, Wanted()) if plot else None
    contenders = [contender(history, run) for run in found]
    compared = pairs(history, contenders)
    if curves is not None and plot is not None:
        write_file(plot, picture(curves, picture_format(plot)))
        say(f"Loss curves: {full_name(plot)}")
    if json:
        put(as_json(_values(contenders, compared, at)))
    else:
        _put_texts(contenders, compared, at)
    return ExitCode.DONE


def _find_runs(history: History, references: Sequence[str]) -> list[RunRecord]:
    """The runs in the order of the call, each once."""
    named = (find_named(history.database, reference) for reference in references)
    found = {run.id: run for run in chain.from_iterable(named)}
    if len(found) < 2:
        raise UsageError(
            "Expected two or more different runs to compare. "
            f"Received: {' '.join(references)}, which is {', '.join(found)}."
        )
    return list(found.values())


def _put_texts(contenders: Sequence[Contender], compared: list[Pair], at: Sequence[int]) -> None:
    runs = [one.run for one in contenders]
    labels = reference_labels(runs)
    put_table(*table(contenders, labels, at))
    put("")
    if not differing_settings(runs):
        put("All settings are the same.")
    by_id = {run.id: label for run, label in zip(runs, labels, strict=True)}
    put_lines(bits_lines(compared, by_id))


def _values(
    contenders: Sequence[Contender], compared: Sequence[Pair], at: Sequence[int]
) -> dict[str, Any]:
    return {
        "runs": [_of_run(one, at) for one in contenders],
        "differing": differing_settings([one.run for one in contenders])
        | differing_facts(contenders),
        "one_configuration": [
            asdict(pair) | {"same_bits": pair.parting is None} for pair in compared
        ],
    }


def _of_run(one: Contender, at: Sequence[int]) -> dict[str, Any]:
    losses = {record.iteration: record.loss for record in one.curve}
    return {
        "id": one.run.id,
        "name": one.run.name,
        "status": one.run.status,
        "completed_iterations": one.run.completed_iterations,
        "first_loss": one.curve[0].loss if one.curve else None,
        "lowest_loss": one.lowest.loss if one.lowest else None,
        "lowest_in": one.lowest.iteration if one.lowest else None,
        "final_loss": one.run.final_loss,
        "losses": {str(place): losses.get(place) for place in at},
        "evaluations": [asdict(evaluation) for evaluation in one.evaluations],
        "parameters_digest": one.run.parameters_digest,
        "history_digest": one.history_digest,
    }
