"""scikit-learn's tables: scaled exactly, in one drawn order."""

from __future__ import annotations

import hashlib
from collections import Counter
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import datasets as sklearn_datasets

from tapeworks.model.datasets import Split, load
from tapeworks.model.datasets.tables import scale
from tests.support.own_networks import own_config

SIZES = {"breast_cancer": (569, 30), "wine": (178, 13), "diabetes": (442, 10)}


def whole(name: str) -> Split:
    return load(own_config(name, images=SIZES[name][0]))


def stored(name: str) -> tuple[NDArray[np.float64], NDArray[Any]]:
    found = getattr(sklearn_datasets, f"load_{name}")(
        **({"scaled": False} if name == "diabetes" else {})
    )
    return found.data, found.target


def places_in_table(name: str, images: NDArray[np.float32]) -> list[int]:
    """The row of the table that each image comes from, found by NumPy's own standardization."""
    table = stored(name)[0]
    expected = (table - table.mean(0)) / table.std(0)
    apart = np.abs(images[:, None] - expected).max(2)
    assert apart.min(1).max() < 1e-5
    return [int(place) for place in apart.argmin(1)]


@pytest.mark.parametrize("name", SIZES)
def test_each_row_is_there_once_with_its_own_label(name: str) -> None:
    split = whole(name)
    assert split.training.images.shape == SIZES[name]
    assert split.training.images.dtype == np.float32

    places = places_in_table(name, split.training.images)

    target = stored(name)[1]
    assert sorted(places) == list(range(len(target)))
    assert split.training.labels.tolist() == target[places].tolist()


@pytest.mark.parametrize(
    ("name", "classes"), [("breast_cancer", (0, 1)), ("wine", (0, 1, 2)), ("diabetes", ())]
)
def test_two_tables_have_classes_and_one_has_targets(name: str, classes: tuple[int, ...]) -> None:
    split = whole(name)
    assert split.classes == classes
    assert split.training.labels.dtype == (np.uint8 if classes else np.float32)


@pytest.mark.parametrize("name", SIZES)
def test_columns_have_mean_0_and_standard_deviation_1(name: str) -> None:
    images = whole(name).training.images.astype(np.float64)
    np.testing.assert_allclose(images.mean(0), 0, atol=1e-7)
    np.testing.assert_allclose(images.std(0), 1, atol=1e-7)


@pytest.mark.parametrize("name", SIZES)
def test_a_scaled_number_is_the_float32_next_to_the_exact_one(name: str) -> None:
    column = stored(name)[0][:, 2]
    scaled = scale(column)
    with localcontext(prec=60):
        numbers = [Decimal(value) for value in column.tolist()]
        mean = sum(numbers, Decimal(0)) / len(numbers)
        squares = [(number - mean) ** 2 for number in numbers]
        deviation = (sum(squares, Decimal(0)) / len(numbers)).sqrt()
        exact = [float((number - mean) / deviation) for number in numbers]
    for value, expected in zip(scaled, exact, strict=True):
        assert abs(float(value) - expected) <= 0.51 * float(np.spacing(np.abs(value)))


def test_the_order_is_drawn_by_raw_numbers_of_pcg64() -> None:
    raw = np.random.PCG64(np.random.SeedSequence(0, spawn_key=(0,))).random_raw(178).tolist()
    expected = sorted(range(178), key=raw.__getitem__)

    assert places_in_table("wine", whole("wine").training.images) == expected


def test_held_out_rows_of_a_table_sorted_by_class_are_of_all_classes() -> None:
    split = load(own_config("wine", images=128, test_images=50))
    counts = Counter(split.test.labels.tolist())
    assert len(counts) == 3
    assert min(counts.values()) >= 10


#: Images and labels of each whole data set that comes with scikit-learn.
PINNED = {
    "digits": "a19cb3d96bba7deace8ee5a513a6eb7bad0403d528f00bf4d351b6a7a55baa91",
    "breast_cancer": "6848d80034fec2111402004d1767c5699aff684828768a2759c5579070f44ab5",
    "wine": "3adca5b732fa22faac6b9957f99f96e049c41a0ddcf671fe67739255a0a87edd",
    "diabetes": "b1fc64345454d4eb2dcee0fac40ab29ba1a395a80f4d36139078bcbaa5d3ba3e",
}


@pytest.mark.parametrize("name", PINNED)
def test_every_bit_is_the_same_on_every_machine(name: str) -> None:
    rows = SIZES.get(name, (1797,))[0]
    data = load(own_config(name, images=rows)).training
    found = hashlib.sha256(data.images.tobytes() + data.labels.tobytes()).hexdigest()
    assert found == PINNED[name]
