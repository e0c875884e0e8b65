"""What tests of every level share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """A directory of real MNIST files: TAPEWORKS_DATA_DIR, or the one beside the repository."""
    named = os.environ.get("TAPEWORKS_DATA_DIR")
    directory = Path(named) if named else REPOSITORY.parent / "shared" / "data" / "mnist"
    if not directory.is_dir():
        pytest.skip(f"There is no directory {directory}; name one with TAPEWORKS_DATA_DIR.")
    return directory
