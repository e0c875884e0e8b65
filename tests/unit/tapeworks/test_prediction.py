"""Images to predict: arrays that may mean several things, pictures unlike the run's."""

from __future__ import annotations

import numpy as np
import pytest

from tapeworks.model import datasets
from tapeworks.model.config import RunConfig
from tapeworks.model.errors import DatasetError
from tapeworks.prediction import take_images

DIGITS = RunConfig(images=20)


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((5, 64), r"array.reshape\(-1, 8, 8\), or array\[numpy.newaxis\] for one picture of 5"),
        ((5, 729), r"array.reshape\(-1, 27, 27\)"),
        (
            (50, 784),
            r"array.reshape\(-1, 28, 28\), or array\[numpy.newaxis\] for one picture of 50",
        ),
        ((700, 784), r"array.reshape\(-1, 28, 28\)"),
        ((50, 1024), r"array.reshape\(-1, 32, 32\)"),
        ((5000, 400), r"array.reshape\(-1, 20, 20\)"),
        ((256,), r"array.reshape\(-1, 16, 16\)\.$"),
        ((64,), r"array.reshape\(-1, 8, 8\)\.$"),
        ((2, 3, 28, 28), r"array.transpose\(0, 2, 3, 1\) for colours"),
        ((2, 1, 28, 28), r"array\[:, 0\]"),
    ],
)
def test_arrays_of_another_form_are_refused_with_how_to_give_them(
    shape: tuple[int, ...], advice: str
) -> None:
    with pytest.raises(DatasetError, match=advice):
        take_images(np.zeros(shape, np.uint8), DIGITS)


@pytest.mark.parametrize(
    ("shape", "images"),
    [
        *[((8, 8), 1), ((5, 8, 8), 5), ((30, 40), 1), ((256, 256), 1), ((768, 1024), 1)],
        *[((300, 400), 1), ((20, 300), 1), ((1, 50, 784), 1)],
    ],
)
def test_pictures_are_taken_as_they_are(shape: tuple[int, ...], images: int) -> None:
    assert len(take_images(np.zeros(shape, np.uint8), DIGITS).images) == images


def test_a_digit_that_fills_little_of_its_picture_is_said_to_look_small() -> None:
    digits = datasets.load(DIGITS).training.images
    assert take_images(digits, DIGITS).looks == [None] * len(digits)
    [notice] = take_images(np.pad(digits, ((0, 0), (40, 0), (40, 0))), DIGITS).notices
    assert notice.startswith("images: 20 of 20 look small: ")
    assert notice.endswith("; crop to it")
    assert take_images(255 - digits[:1], DIGITS).looks == ["inverted"]
    assert take_images(np.zeros((1, 27, 27), np.uint8), DIGITS).looks == [None]
