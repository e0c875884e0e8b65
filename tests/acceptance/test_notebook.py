"""The example notebook runs in a kernel, as a user's does, and shows pictures and tables."""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import tapeworks
from tests.support.processes import ROOT

NOTEBOOK = ROOT / "examples" / "training.ipynb"


def execute(notebook: Any) -> list[dict[str, str]]:
    """Run every cell in a kernel; the outputs by their media types."""
    with warnings.catch_warnings():  # of the notebook programs, which are not ours
        warnings.simplefilter("ignore")
        asyncio.run(NotebookClient(notebook, timeout=240, kernel_name="python3").async_execute())
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [
        output["data"] if "data" in output else {"text/plain": output["text"]}
        for output in outputs
        if "data" in output or output["name"] == "stdout"
    ]


@pytest.mark.slow
def test_the_example_notebook_runs(places: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # kept without any

    shown = execute(notebook)

    progress, table = shown[0], shown[1]
    assert "iteration 30/30  loss" in progress["text/plain"]
    assert "<progress value='30' max='30'>" in progress["text/html"]
    assert progress["text/plain"].count("Each loss is") == 1
    assert "<th>status</th><td>completed</td>" in table["text/html"]
    assert "script" not in progress["text/html"] + table["text/html"]
    assert sum("image/png" in one for one in shown) == 2
    assert any("of 300 images" in one["text/plain"] for one in shown)
    assert (places / "notebook.parquet").exists()
    with tapeworks.connect() as client:
        assert client.run("notebook").status is tapeworks.RunStatus.COMPLETED
