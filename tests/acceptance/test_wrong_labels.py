"""The guide's example: wrong labels that were planted are found by the images' mean loss."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.support.calls import Call
from tests.support.processes import ROOT

EXAMPLE = ROOT / "examples" / "wrong_labels.py"


def _commands(name: str) -> list[str]:
    """The guide's commands for this run, without the program's name."""
    text = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    return re.findall(rf"^\$ tapeworks (.*\b{name}\b.*)$", text, re.MULTILINE)


@pytest.mark.usefixtures("places")
def test_the_mean_finds_labels_that_the_last_loss_hides(
    call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    planted = {int(row) for row in re.findall(r"\d+", capsys.readouterr().out)}
    data = np.load("planted.npz")
    wrong = np.flatnonzero(data["labels"] != load_digits().target[: len(data["labels"])])
    assert planted == set(wrong.tolist())
    assert len(planted) == 20

    train, images, plot = _commands("planted")
    assert call(train).code == 0
    by_mean = call(f"{images} --json").values
    by_last = call(f"{images.replace('mean', 'last')} --json").values
    assert len(by_mean) == len(by_last) == 25
    found = [len(planted & {image["row"] for image in listed}) for listed in (by_last, by_mean)]
    assert found[1] >= 18
    assert found[0] < found[1]
    for image in by_mean:
        assert image["label"] == data["labels"][image["row"]]
    assert call(f"{plot} --json").values["images"] == by_mean
    assert call(plot).code == 0
    assert Path("hardest.png").read_bytes().startswith(b"\x89PNG")
