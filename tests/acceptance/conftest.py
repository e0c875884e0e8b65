"""What wrong calls are made from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.desk import put_wrong_files, two_runs_in


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a completed run and one that waits in the queue."""
    return two_runs_in(tmp_path_factory.mktemp("two-runs"))


@pytest.fixture
def desk(places: Path, two_runs: Path) -> Path:
    """A user's directory with that database and all kinds of wrong files."""
    shutil.copy(two_runs, places / "runs.db")
    put_wrong_files(places)
    return places
