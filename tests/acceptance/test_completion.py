"""Completion in a shell, asked as its script asks it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tapeworks.storage.history import History
from tests.support.made_up import submit


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("history") / "runs.db"
    history = History.open(file)
    for name in ("first", "fast", "slow"):
        submit(history, name=name, tags={"kind": "test", "speed": name})
    named = [
        {"name": name, "run_id": f"20261123-120000000-00000{place}"}
        for place, name in enumerate(("grid-1", "grid-2", "grid-of"))
    ]
    for one in named:
        submit(history, **one)
    submit(history, name="alone-1")
    history.database.close()
    return file


def complete(database: Path, *words: str) -> list[str]:
    """Return what bash is offered for the last of the words."""
    line = ["tapeworks", *words]
    asked = {
        "_TAPEWORKS_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(line),
        "COMP_CWORD": str(len(line) - 1),
        "TAPEWORKS_DATABASE_URL": str(database),
    }
    call = "import sys; sys.argv[0] = 'tapeworks'; from tapeworks.__main__ import main; main()"
    ran = subprocess.run(
        [sys.executable, "-P", "-c", call],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stderr == ""
    return [line.partition(",")[2] for line in ran.stdout.split()]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["wa"], {"watch"}),
        (["show", "f"], {"first", "fast"}),
        (["compare", "first", "s"], {"slow"}),
        (["pause", "gr"], {"grid", "grid-1", "grid-2", "grid-of"}),
        (["show", "gr"], {"grid-1", "grid-2", "grid-of"}),
        (["describe", "first", "--untag", "sp"], {"speed"}),
        (["runs", "--tag", "kind"], {"kind=test"}),
        (["runs", "--tag", "speed=f"], {"speed=first", "speed=fast"}),
        (["runs", "--sort", "final_l"], {"final_loss", "final_learning_rate"}),
        (["runs", "--columns", "id,final"], {"id,final_loss", "id,final_learning_rate"}),
        (["submit", "--vary", "mom"], {"momentum="}),
        (["runs", "--status", "q"], {"queued"}),
        (["submit", "--optimizer", ""], {"sgd", "momentum", "adam"}),
        (["train", "--dataset", "m"], {"mnist"}),
        (["train", "--seed", ""], set()),
    ],
)
def test_what_is_meant_is_offered(database: Path, words: list[str], offered: set[str]) -> None:
    assert set(complete(database, *words)) == offered


def test_nothing_is_made_or_said_where_there_is_no_database(tmp_path: Path) -> None:
    place = tmp_path / "away" / "runs.db"
    assert complete(place, "show", "f") == []
    assert not place.parent.exists()
