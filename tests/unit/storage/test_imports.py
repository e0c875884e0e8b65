"""Listing runs must answer at once: nothing heavy is imported for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
HEAVY = {"alembic", "mako", "numpy", "pydantic", "tensorflow", "psutil", "celery", "redis"}


def modules_after(script: str, *arguments: str) -> set[str]:
    """The top-level modules that a fresh interpreter has imported after the script."""
    tell = "import json, sys; print(json.dumps([name.split('.')[0] for name in sys.modules]))"
    answer = subprocess.run(
        [sys.executable, "-c", f"{script}\n{tell}", *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return set(json.loads(answer.stdout))


def test_the_history_imports_sqlalchemy_and_nothing_heavy() -> None:
    modules = modules_after("import tapeworks.storage.history")
    assert "sqlalchemy" in modules
    assert modules & HEAVY == set()


def test_listing_the_runs_of_a_migrated_database_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys; from tapeworks.storage.history import History; "
        "History.open(sys.argv[1]).runs()"
    )
    path = str(tmp_path / "runs.db")
    assert "alembic" in modules_after(script, path)
    assert modules_after(script, path) & HEAVY == set()
