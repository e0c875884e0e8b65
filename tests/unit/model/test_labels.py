"""Labels as they are typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapeworks.model.config import run_config
from tapeworks.model.datasets import load
from tapeworks.model.errors import ConfigurationError, DatasetError
from tapeworks.model.labels import ALL_LABELS


@pytest.mark.parametrize(
    ("typed", "labels"),
    [
        ("3,6", (3, 6)),
        ("0-9", tuple(range(10))),
        ("0-2, 8", (0, 1, 2, 8)),
        ("7 - 9,1-2", (7, 8, 9, 1, 2)),
        ("all", tuple(range(10))),
        ("ALL", tuple(range(10))),
    ],
)
def test_labels_are_listed_or_a_range_or_all(typed: str, labels: tuple[int, ...]) -> None:
    assert run_config({"classes": typed}).classes == labels


def test_all_are_those_that_the_digits_have() -> None:
    every = load(run_config({"classes": "all", "images": 500, "test_images": 1000}))

    assert every.classes == ALL_LABELS["digits"]
    assert set(every.training.labels.tolist()) == set(range(10))


def write_labels(file: Path, labels: Any) -> dict[str, str]:
    """Settings of a data set with these labels."""
    np.savez(file, images=np.zeros((len(labels), 27, 27), np.uint8), labels=labels)
    return {"classes": "all", "dataset": str(file)}


def test_all_are_those_of_an_own_file_that_can_be_read(tmp_path: Path) -> None:
    given = write_labels(tmp_path / "own.npz", [7, 3, 3, 11])
    assert run_config(given).classes == (3, 7, 11)
    assert load(run_config(given | {"images": 4})).classes == (3, 7, 11)


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (np.arange(300), "expected at most 256 labels; .* has 300. Received: classes=all"),
        ([0.5, 1.5], "as whole numbers from 0. Received: float64"),
        (np.zeros((2, 2), int), "of 1 dimension"),
        ([], "There are no labels in"),
        ([4, 4], "Expected two classes or more. Received: classes=4"),
    ],
)
def test_labels_of_an_own_file_that_cannot_be_classes_are_refused(
    labels: Any, problem: str, tmp_path: Path
) -> None:
    given = write_labels(tmp_path / "own.npz", labels)
    with pytest.raises((ConfigurationError, DatasetError), match=problem):
        run_config(given)


def test_all_with_a_network_of_ones_own_are_found_in_its_data() -> None:
    own = {"network": "net.py", "classes": "all", "dataset": "own.npz"}
    assert run_config(own).classes == ()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"classes": "3-1"}, "from a lower to a higher one"),
        ({"classes": "4-4"}, "from a lower to a higher one"),
        ({"classes": "0-9999999999"}, "256 at most"),
        ({"classes": "0-9,9"}, "Expected different classes"),
        ({"classes": "0--9"}, "expected a whole number"),
        ({"classes": "all", "dataset": "own.npz"}, "the labels of your own file, such as 0-9"),
    ],
)
def test_other_ranges_are_refused(values: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        run_config(values)
