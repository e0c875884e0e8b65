"""Colours that people can tell apart: contrast as WCAG 2 computes it, light and dark."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

CSS = Path(__file__).resolve().parents[4] / "tapeworks" / "web" / "static" / "app.css"

#: Text, and what is behind it.
PAIRS = [
    *((text, back) for text in ("text", "muted", "accent", "bad") for back in ("page", "panel")),
    ("on-accent", "accent"),
    ("bad", "bad-back"),
]

#: Lines and marks, which need less.
MARKS = ["good", "warn", *(f"line-{number}" for number in range(1, 9))]


def colours(*, dark: bool) -> dict[str, str]:
    """Return the values of the variables, those of dark overriding the others."""
    blocks = re.findall(
        r"(@media \(prefers-color-scheme: dark\) \{\s*)?:root \{([^}]*)\}", CSS.read_text()
    )
    chosen = [body for media, body in blocks if dark or not media]
    return dict(pair for body in chosen for pair in re.findall(r"--([\w-]+): (#[0-9a-f]+)", body))


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    shares = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_computed_as_the_standard_says() -> None:
    assert contrast("#000", "#fff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("dark", [False, True])
def test_everything_can_be_read(dark: bool) -> None:
    found = colours(dark=dark)
    poor = {pair for pair in PAIRS if contrast(found[pair[0]], found[pair[1]]) < 4.5}
    assert not poor
    assert not {mark for mark in MARKS if contrast(found[mark], found["panel"]) < 3}


#: From linear RGB: to the cones of OKLab and to its coordinates, and to RGB as those see it who
#: lack the cones for red or for green (Machado et al. 2009).
CONES = np.array(
    [[0.41222, 0.53633, 0.05145], [0.2119, 0.6807, 0.1074], [0.0883, 0.28172, 0.62998]]
)
COORDINATES = np.array(
    [[0.21045, 0.79362, -0.00407], [1.978, -2.42859, 0.45059], [0.0259, 0.78277, -0.80868]]
)
EYES = {
    "all": np.eye(3),
    "no red": np.array(
        [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.052]]
    ),
    "no green": np.array(
        [[0.3673, 0.8606, -0.228], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]
    ),
}

#: Of two colours in OKLab. Two oranges of 0.04 are taken for each other.
LEAST_DISTANCE = 0.1


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("eyes", EYES)
def test_lines_of_several_runs_are_told_apart(dark: bool, eyes: str) -> None:
    found = colours(dark=dark)
    digits = [bytes.fromhex(found[f"line-{number}"][1:]) for number in range(1, 9)]
    shares = np.array([list(one) for one in digits]) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    seen = np.cbrt(np.clip(linear @ np.array(EYES[eyes]).T, 0, 1) @ CONES.T) @ COORDINATES.T
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
    assert distances[np.triu_indices(8, 1)].min() > LEAST_DISTANCE
