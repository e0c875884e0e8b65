"""A run as JSON values and as lines for people."""

from __future__ import annotations

import pytest

from storage.history import History
from tapeworks.describe import run_lines, run_values
from tests.support.stories import tell

LOSSES = [[2.0, 1.0]]


@pytest.mark.parametrize(
    ("settings", "form", "shown"),
    [
        ({}, "per-image", "auto: per-image"),
        ({"images": 5000, "images_per_iteration": 2}, "per-image", "auto: per-image"),
        ({"image_side": 400}, "summed", "auto: summed"),
        ({"gradients": "summed"}, "summed", "summed"),
        ({"gradients": "per-image", "image_side": 400}, "per-image", "per-image"),
    ],
)
def test_the_form_of_a_runs_gradients_is_told_also_where_it_was_left_to_auto(
    history: History, settings: dict[str, object], form: str, shown: str
) -> None:
    run = tell(history, LOSSES, settings=settings)

    assert run_values(history, run)["gradient_form"] == form
    assert dict(run_lines(history, run))["  gradients"] == shown


@pytest.mark.parametrize(
    ("settings", "interval", "shown"),
    [
        ({}, 1, "None: 1"),
        ({"images": 10_001}, 100, "None: 100"),
        ({"images": 10_001, "record_images_every": 5}, 5, "5"),
    ],
)
def test_it_is_told_how_often_images_are_recorded_also_where_their_number_decides(
    history: History, settings: dict[str, object], interval: int, shown: str
) -> None:
    run = tell(history, LOSSES, settings=settings)

    assert run_values(history, run)["recording_interval"] == interval
    assert dict(run_lines(history, run))["  record_images_every"] == shown
