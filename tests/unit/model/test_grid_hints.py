"""Several values where one is expected are answered with the grid that they make."""

from __future__ import annotations

from typing import Any

import pytest

from tapeworks.model.config import run_config
from tapeworks.model.errors import ConfigurationError
from tapeworks.model.networks.own.check.cases import Refusal
from tapeworks.model.networks.own.check.signatures import resolve_options


@pytest.mark.parametrize(
    ("given", "hinted"),
    [
        ({"learning_rate": [0.1, 0.2]}, "--vary learning_rate=0.1,0.2, or submit_grid in Python."),
        ({"images_per_iteration": "5,10"}, "--vary images_per_iteration=5,10,"),
        ({"dataset": ("digits", "mnist")}, "--vary dataset=digits,mnist,"),
    ],
)
def test_several_values_are_a_grids(given: dict[str, Any], hinted: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        run_config(given)
    assert f"For a run of each: tapeworks submit {hinted}" in str(refused.value)


def test_several_values_of_an_option_are_a_grids() -> None:
    with pytest.raises(Refusal, match=r"tapeworks submit --vary option\.hidden=16,32,"):
        resolve_options({"hidden": 4}, {"hidden": "16,32"})


@pytest.mark.parametrize(
    "given", [{"seed": "1,"}, {"classes": "3,x"}, {"iterations": 0}, {"seed": [1]}]
)
def test_other_values_are_no_grid(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        run_config(given)
    assert "--vary" not in str(refused.value)
