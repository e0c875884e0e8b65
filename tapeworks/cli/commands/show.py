"""`tapeworks show`: one run as it stands."""

from __future__ import annotations

from dataclasses import asdict

import click

from tapeworks.cli.completion import complete_run
from tapeworks.cli.connection import open_history
from tapeworks.cli.outputs.describe import as_json, clock, run_lines, run_values
from tapeworks.cli.outputs.printing import put, put_lines, put_table
from tapeworks.errors import ExitCode, UsageError

#: The argument that names a run: an id, a unique prefix of one, or a name.
run_argument = click.argument("run", metavar="RUN", shell_complete=complete_run)


@click.command("show", epilog="Example: tapeworks show first --events")
@run_argument
@click.option("--events", is_flag=True, help="what happened to it")
@click.option("--ledger", is_flag=True, help="the worker that computed each image, counted once")
@click.option("--json", is_flag=True, help="print JSON, with the digests")
def show_command(run: str, events: bool, ledger: bool, json: bool) -> int:
    """Show a run's settings, status, losses and digests, or its events or ledger.

    RUN is an id, a unique prefix of one, or a name.
    """
    if events and ledger:
        raise UsageError("--events and --ledger exclude each other; choose one.")
    history = open_history()
    history.release_abandoned()
    record = history.find_run(run)
    if events or ledger:
        table = history.events(record.id) if events else history.ledger(record.id)
        rows = [{k: v for k, v in asdict(line).items() if k != "run_id"} for line in table]
        _put_rows(rows, json)
    elif json:
        put(as_json(run_values(history, record)))
    else:
        lines = run_lines(history, record)
        width = max(len(label) for label, _ in lines)
        put_lines(f"{label:{width}}  {text}" for label, text in lines)
    return ExitCode.DONE


def _put_rows(rows: list[dict[str, object]], json: bool) -> None:
    if json:
        put(as_json(rows))
    elif rows:
        headers = [name.replace("_", " ").upper() for name in rows[0]]
        put_table(headers, [[_cell(name, value) for name, value in row.items()] for row in rows])


def _cell(name: str, value: object) -> str:
    if value is None:
        return "-"
    if name.endswith("at") and hasattr(value, "astimezone"):
        return clock(value)  # type: ignore[arg-type]
    return f"{value:.4f}" if isinstance(value, float) else str(value)
