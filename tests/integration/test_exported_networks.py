"""Exported networks, loaded by a process that knows nothing of Tapeworks, give its logits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapeworks.model import parameters
from tapeworks.model.config import RunConfig
from tapeworks.model.engine.inference import logits
from tapeworks.model.images import normalise
from tapeworks.storage.history import History
from tests.support.calls import Call
from tests.support.processes import ROOT
from tests.support.training import settings, submitted

#: Settings of the runs whose networks are exported; the first network is the seed's.
RUNS: dict[str, dict[str, Any]] = {
    "seed": {},
    "ten": {"classes": range(10), "kernel_sizes": [4, 1, 2, 6], "filters": 7, "image_side": 19},
}

#: What a network is exported to, and its place in the directory of its run, which tells the form.
FORMS = {"keras": "it.keras", "savedmodel": "saved/", "safetensors": "it.safetensors"}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_exported_networks_give_the_same_logits_in_a_process_without_tapeworks(
    places: Path, call: Call, history: History
) -> None:
    expected = []
    for name, values in RUNS.items():
        config = settings(microbatch_size=4, **values)
        submitted(history, config, name=name)
        (places / name).mkdir()
        for file in FORMS.values():
            called = call(f"export {name} --output {name}/{file}")
            assert (called.code, called.out) == (0, f"{places / name / file}\n"), called.err
        expected.append(_own_logits(config, places / name / "images.npy"))

    found = _loaded([places / name for name in RUNS])

    assert found["ours"] == []
    for loaded, own in zip(found["networks"], expected, strict=True):
        assert loaded["layers"] == ["keras"]
        for form in FORMS:
            np.testing.assert_allclose(loaded[form], own, rtol=0, atol=1e-5)


def _own_logits(config: RunConfig, file: Path) -> Any:
    """Return Tapeworks' logits of images, left in a file as exported networks want them."""
    shape = (5, config.image_side, config.image_side)
    images = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    np.save(file, normalise(images))
    return logits(config.spec, parameters.initial(config.built_in, config.seed), images)


def _loaded(directories: list[Path]) -> Any:
    program = subprocess.run(
        [sys.executable, "-m", "tests.support.exported", *map(str, directories)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert program.returncode == 0, program.stderr
    return json.loads(program.stdout)
