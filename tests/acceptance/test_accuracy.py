"""The commands of docs/training.md: what they reach on images that no iteration has seen."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tapeworks.cluster.forecast import Forecast
from tapeworks.model.config import RunConfig, run_config
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.storage.history import History
from tests.support.training import drive, submitted

pytestmark = pytest.mark.slow

TRAINING = Path(__file__).resolve().parents[2] / "docs" / "training.md"


def documented() -> list[tuple[RunConfig, float]]:
    """Each command's configuration, and the accuracy that is shown below it.

    None of them has workers, as a process alone is faster.
    """
    text = TRAINING.read_text(encoding="utf-8")
    shown = r"^\$ tapeworks train (.*)$(?s:.*?)^accuracy +([\d.]+)% of (\d+) held-out images$"
    found = []
    for options, accuracy, images in re.findall(shown, text, re.MULTILINE):
        words = shlex.split(options)
        values: dict[str, Any] = {
            flag.removeprefix("--").replace("-", "_"): value
            for flag, value in zip(words[::2], words[1::2], strict=True)
        }
        assert values["test_images"] == images
        config = run_config(values)
        assert Forecast(config=config, iterations=config.iterations, cores=2).choose_workers() == 0
        found.append((config, float(accuracy) / 100))
    return found


def accuracy_of(history: History, config: RunConfig, mnist_dir: Path) -> float:
    here = config.model_copy(update={"data_dir": str(mnist_dir)})
    run = drive(history, LocalDispatcher(), submitted(history, here)).run
    [evaluation] = history.evaluations(run.id)
    assert evaluation.images == config.test_images
    assert evaluation.accuracy is not None
    return evaluation.accuracy


def test_threes_and_sixes_are_told_apart_as_documented(history: History, mnist_dir: Path) -> None:
    [(config, shown)] = [found for found in documented() if found[0].classes == (3, 6)]
    assert (config.images, config.test_images) == (200, 1768)

    accuracy = accuracy_of(history, config, mnist_dir)

    assert accuracy >= 0.98
    assert accuracy == pytest.approx(shown, abs=0.005)


def test_ten_digits_learn_with_the_documented_settings_in_a_tenth_of_the_time(
    history: History, mnist_dir: Path
) -> None:
    """A hundred iterations of the thousand, on fewer images held out."""
    [(config, shown)] = [found for found in documented() if len(found[0].classes) == 10]
    assert shown > 0.975
    short = {"iterations": 100, "test_images": 500, "warmup_iterations": 5}

    assert accuracy_of(history, config.model_copy(update=short), mnist_dir) > 0.85
