"""A run as JSON values and as lines for people."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tapeworks.cli.outputs.describe import (
    duration_text,
    evaluation_lines,
    run_lines,
    run_losses,
    run_values,
)
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord
from tests.support.forging import forge
from tests.support.stories import evaluated, tell


def stored(history: History, **changed: Any) -> RunRecord:
    """A run with these stored settings; those that are `...` are missing, as in an older one."""
    run = tell(history, [])
    record = {k: v for k, v in (run.configuration | changed).items() if v is not ...}
    change = "UPDATE stored_runs SET configuration = :record"
    forge(history, change, record=json.dumps(record))
    return history.find_run(run.id)


@pytest.mark.parametrize(
    ("settings", "form", "shown"),
    [
        ({}, "per-image", "per-image (auto)"),
        ({"images": 5000, "images_per_iteration": 2}, "per-image", "per-image (auto)"),
        ({"image_side": 400}, "summed", "summed (auto)"),
        ({"gradients": "summed"}, "summed", "summed"),
        ({"gradients": "per-image", "image_side": 400}, "per-image", "per-image"),
        ({"gradients": ...}, "per-image", "per-image (auto)"),
        ({"gradients": ..., "image_side": 400}, "summed", "summed (auto)"),
        ({"gradients": "auto", "kernel_sizes": [99]}, None, "auto"),
        ({"gradients": "summed", "a_setting_of_a_newer_version": 1}, None, "summed"),
        ({"gradients": ..., "kernel_sizes": [99]}, None, None),
    ],
)
def test_the_form_of_a_runs_gradients_is_told_also_where_it_was_left_to_auto(
    history: History, settings: dict[str, object], form: str | None, shown: str | None
) -> None:
    run = stored(history, **settings)

    assert run_values(history, run)["gradient_form"] == form
    assert dict(run_lines(history, run)).get("  gradients") == shown


@pytest.mark.parametrize(
    ("settings", "interval", "shown"),
    [
        ({}, 1, "1 (auto)"),
        ({"images": 10_001}, 100, "100 (auto)"),
        ({"images": 10_001, "record_images_every": 5}, 5, "5"),
        ({"record_images_every": ...}, 1, "1 (auto)"),
        ({"kernel_sizes": [99]}, None, "-"),
        ({"record_images_every": 5, "kernel_sizes": [99]}, None, "5"),
        ({"record_images_every": ..., "kernel_sizes": [99]}, None, None),
    ],
)
def test_it_is_told_how_often_images_are_recorded_also_where_their_number_decides(
    history: History, settings: dict[str, object], interval: int | None, shown: str | None
) -> None:
    run = stored(history, **settings)

    assert run_values(history, run)["recording_interval"] == interval
    assert dict(run_lines(history, run)).get("  record_images_every") == shown


def test_a_network_is_shown_with_its_digest_and_each_of_its_options(history: History) -> None:
    settings = {
        "network": "lenet.py",
        "options": {"hidden": 120, "activation": "relu"},
        "network_facts": {"shapes": {"dense": [10, 120]}},
    }
    run = tell(history, [], network_source="the source", stored=settings)
    lines = dict(run_lines(history, run))
    assert lines["network"] == f"lenet.py, {hashlib.sha256(b'the source').hexdigest()}"
    assert (lines["  option.hidden"], lines["  option.activation"]) == ("120", "relu")
    assert not {"  options", "  network_facts"} & lines.keys()
    assert run_values(history, run)["network_digest"] == run.network_digest
    assert "network" not in dict(run_lines(history, tell(history, [])))


@pytest.mark.parametrize(
    ("accuracies", "shown"),
    [
        ([None], {"held-out loss": "2.5000 of 4 images after 1 iteration"}),
        (
            [None, None],
            {
                "held-out loss": "3.5000 of 4 images after 2 iterations",
                "best held-out loss": "2.5000 after 1 iteration",
            },
        ),
        ([0.5], {"held-out accuracy": "50.0% of 4 images after 1 iteration, loss 2.5000"}),
    ],
)
def test_evaluations_without_an_accuracy_are_shown_by_their_loss(
    accuracies: list[float | None], shown: dict[str, str]
) -> None:
    evaluations = [evaluated(n + 1, 2.5 + n, accuracy) for n, accuracy in enumerate(accuracies)]
    assert dict(evaluation_lines(evaluations)) == shown


SLICES = {"images": 5, "images_per_iteration": 2}


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([], "-"),
        ([[3.0, 4.0]], "7.0000 at first, 7.0000 at last, sum over 2 images"),
        (
            [[3.0, 4.0], [3.0, 3.0], [2.0]],
            "7.0000 at first, sum over 2 images; 2.0000 at last, sum over 1 image",
        ),
        ([[3.0, 4.0]] * 4, "7.0000 at first, 7.0000 at last, sum over 2 images"),
    ],
)
def test_a_loss_over_fewer_images_than_those_of_other_iterations_says_so(
    history: History, losses: list[list[float]], words: str
) -> None:
    run = tell(history, losses, settings=SLICES)

    assert dict(run_lines(history, run))["loss"] == words
    assert (run.last_loss == "2.0000, sum over 1 image") == (len(losses) == 3)


def test_a_run_that_begins_within_a_pass_may_have_a_small_first_iteration() -> None:
    row = {"parent_iterations": 2, "completed_iterations": 4, "first_loss": 2.0, "final_loss": 7.0}

    assert run_losses(row | SLICES) == {
        "first_loss": "2.0000, sum over 1 image",
        "final_loss": "7.0000",
    }
    assert run_losses(row | {"images": None, "images_per_iteration": 2})["first_loss"] == "2.0000"


def test_settings_are_shown_as_they_are_written_on_the_command_line(history: History) -> None:
    lines = dict(run_lines(history, stored(history, classes=[3, 6], shards=None)))

    assert (lines["  classes"], lines["  shards"]) == ("3,6", "-")


@pytest.mark.parametrize(
    ("seconds", "digits", "words"),
    [
        (0.4, 0, "0 s"),
        (1.25, 1, "1.2 s"),
        (59.96, 1, "1 min 0 s"),
        (61, 0, "1 min 1 s"),
        (3599.9, 1, "1 h 0 min"),
        (11_520, 0, "3 h 12 min"),
        (180_000, 0, "2 d 2 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, digits: int, words: str) -> None:
    assert duration_text(seconds, digits) == words
