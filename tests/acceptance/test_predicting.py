"""`tapeworks predict`: what a run's network makes of images in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tapeworks.model import parameters
from tapeworks.model.images import normalise
from tapeworks.storage.history import History
from tests import reference_numpy
from tests.support.calls import Call
from tests.support.processes import ROOT
from tests.support.training import settings, submitted

#: A run on a user's own images, which are larger than what its network sees.
CONFIG = settings(
    dataset="own.npz", classes=[4, 7, 2], image_side=6, kernel_sizes=[3], filters=2, images=1
)


@pytest.fixture
def images(places: Path, history: History) -> NDArray[np.uint8]:
    """Files of three images, and a run whose parameters are the initial ones."""
    submitted(history, CONFIG, name="first")
    images = np.random.default_rng(5).integers(0, 256, (3, 8, 7), np.uint8)
    np.savez(places / "three.npz", images=images, labels=[4, 7, 9])
    np.savez(places / "own.npz", images=images, labels=[4, 7, 2])
    Image.fromarray(images[1]).save(places / "one.png")
    return images


def expected(image: NDArray[np.uint8]) -> dict[str, float]:
    """The slow network's probabilities of what it sees of an image."""
    arrays = parameters.initial(CONFIG.built_in, CONFIG.seed)
    logits = reference_numpy.forward(arrays, normalise(image[:6, :6])).logits
    shares = np.exp(logits) / np.exp(logits).sum()
    return {str(label): share for label, share in zip(CONFIG.classes, shares, strict=True)}


def test_predictions_are_the_slow_networks(images: NDArray[np.uint8], call: Call) -> None:
    called = call("predict first three.npz one.png --json")
    rows = called.values
    places = [(row["file"], row["image"], row["label"]) for row in rows]
    assert places == [
        ("three.npz", 0, 4),
        ("three.npz", 1, 7),
        ("three.npz", 2, 9),
        ("one.png", 0, None),
    ]
    for row, image in zip(rows, [*images, images[1]], strict=True):
        assert row["probabilities"] == pytest.approx(expected(image), abs=1e-6)
        assert str(row["predicted"]) == max(expected(image), key=expected(image).__getitem__)
    right = sum(row["label"] == row["predicted"] for row in rows)
    assert f"{right} of 3 images with a label are predicted rightly" in called.err


def test_predictions_are_a_table_for_people(images: NDArray[np.uint8], call: Call) -> None:
    heading, row = call("predict first one.png --after 0").out.splitlines()
    shares = expected(images[1])
    assert heading.split() == ["FILE", "IMAGE", "LABEL", "PREDICTED", "P(4)", "P(7)", "P(2)"]
    likeliest = max(shares, key=shares.__getitem__)
    numbers = [f"{share:.4f}" for share in shares.values()]
    assert row.split() == ["one.png", "0", "-", likeliest, *numbers]


def test_ink_on_paper_is_said_to_look_inverted_and_turned_if_asked(
    history: History, places: Path, call: Call
) -> None:
    submitted(history, settings(classes=[3, 6]), name="first")
    digit = Image.open(ROOT / "docs" / "digit.png")
    digit.save(places / "digit.png")
    paper = Image.new("L", (400, 300), 255)
    paper.paste(ImageOps.invert(digit.resize((300, 300))), (50, 0))
    for name in ("1.jpg", "2.jpeg"):
        paper.save(places / name, quality=95)

    told = call("predict first digit.png 1.jpg 2.jpeg --json")
    turned = call("predict first 1.jpg --invert --json")

    assert [line.partition(":")[0] for line in told.err.splitlines()] == ["1.jpg", "2.jpeg"]
    assert (
        "the border is bright, that of the run's images dark; turn them with --invert" in told.err
    )
    assert [row["looks"] for row in told.values] == [None, "inverted", "inverted"]
    assert "LOOKS" in call("predict first 1.jpg").out
    assert turned.err == ""
    # As if it had been drawn in white on black, but smaller: its sides are in proportion.
    white = Image.new("L", (400, 300))
    white.paste(digit.resize((300, 300)), (50, 0))
    white.save(places / "white.png")
    [drawn] = call("predict first white.png --json").values
    assert list(turned.values[0]["probabilities"].values()) == pytest.approx(
        list(drawn["probabilities"].values()), abs=0.02
    )
