"""A run as a notebook shows it: a small table in HTML, without a script."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from tapeworks.cli.outputs.describe import loss_words
from tapeworks.storage.records import RunRecord

#: Characters of a text that a cell shows; a reason may have thousands.
LONGEST = 200


def run_html(run: RunRecord, tags: Iterable[str]) -> str:
    """Return the table of a run; every text of anybody's is escaped."""
    done = f"{run.completed_iterations} of {run.iterations}"
    bar = f"<progress value='{run.completed_iterations}' max='{run.iterations}'></progress>"
    rows = [
        ("run", escape(run.id)),
        ("name", _cell(run.name)),
        ("tags", _cell(", ".join(tags))),
        ("status", _cell(f"{run.status}{f': {run.reason}' if run.reason else ''}")),
        ("iterations", f"{bar} {done}"),
        ("loss", _cell(None if run.final_loss is None else loss_words(run))),
        ("held-out accuracy", "" if run.test_accuracy is None else f"{run.test_accuracy:.1%}"),
    ]
    lines = (f"<tr><th>{label}</th><td>{cell}</td></tr>" for label, cell in rows if cell)
    return f"<table><tbody>{''.join(lines)}</tbody></table>"


def _cell(text: str | None) -> str:
    shown = text or ""
    return escape(shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…")
