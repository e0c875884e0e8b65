"""A run's configuration from values that are not plain Python, as programs have them."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tapeworks.model.config import RunConfig
from tapeworks.model.errors import ConfigurationError
from tapeworks.model.networks.spec import GradientForm


class Chosen(Enum):
    """An optimizer in a program's own enumeration."""

    ADAM = "adam"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"iterations": np.int64(5), "seed": np.uint64(2**63 - 1)}, (5, 2**63 - 1)),
        ({"iterations": np.float64(2.0), "seed": Decimal(7)}, (2, 7)),
        ({"iterations": Fraction(4, 2), "seed": np.array(3)}, (2, 3)),
        ({"kernel_sizes": np.array([3, 5]), "classes": range(3)}, ((3, 5), (0, 1, 2))),
        ({"kernel_sizes": (np.int8(3),), "classes": pd.Series([8, 1])}, ((3,), (8, 1))),
        ({"learning_rate": np.float32(0.5), "audit": Fraction(1, 4)}, (0.5, 0.25)),
        ({"allow_mixed_workers": np.bool_(True), "dataset": np.str_("mnist")}, (True, "mnist")),
        ({"dataset": Path("a/b.npz"), "data_dir": b"/data"}, ("a/b.npz", "/data")),
        ({"optimizer": Chosen.ADAM, "gradients": GradientForm.SUMMED}, ("adam", "summed")),
    ],
)
def test_values_of_other_libraries_become_plain_python_ones(
    given: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    stored = RunConfig(**given).model_dump()
    kept = tuple(stored[name] for name in given)
    assert kept == expected
    assert [type(value) for value in json.loads(json.dumps(kept))] == [
        list if isinstance(value, tuple) else type(value) for value in expected
    ]


@pytest.mark.parametrize(
    ("given", "received"),
    [
        ({"iterations": True}, "iterations=True"),
        ({"iterations": np.bool_(False)}, "iterations=False"),
        ({"learning_rate": True}, "learning_rate=True"),
        ({"kernel_sizes": [True, 3]}, "kernel_sizes=True,3"),
        ({"kernel_sizes": {3, 5}}, "kernel_sizes={3, 5}"),
        ({"kernel_sizes": itertools.count(1)}, "kernel_sizes=1,2,3,"),
        ({"kernel_sizes": np.int64(3)}, "kernel_sizes=3"),
        ({"iterations": np.float32(2.5)}, "iterations=2.5"),
        ({"iterations": Decimal("1e999999999")}, "iterations=inf"),
        ({"iterations": pd.NA}, "iterations=<NA>"),
        ({"learning_rate": Decimal("sNaN")}, "learning_rate=nan"),
        ({"dataset": "a\0b.npz"}, r"dataset='a\x00b.npz'"),
        ({"nesterov": 1}, "There is no setting named 'nesterov'."),
        ({"evaluate_every": np.int64(10)}, "evaluate_every=10 test_images=0"),
    ],
)
def test_the_class_itself_refuses_in_one_sentence(given: dict[str, Any], received: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        RunConfig(**given)
    assert received in str(refusal.value)
    assert "pydantic" not in str(refusal.value)
    assert "\n" not in str(refusal.value)
