"""The progress of a run as it is shown: the accuracy on held-out images as it comes."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tapeworks.cluster.watching import progress as progress_module
from tapeworks.cluster.watching.progress import Progress
from tapeworks.storage.records import EvaluationRecord, IterationRecord


def iteration(number: int, seconds: float = 0.1, term: int = 1) -> IterationRecord:
    return IterationRecord(
        run_id="run",
        iteration=number,
        images=20,
        loss=1.5,
        accuracy=0.5,
        gradient_norm=0.1,
        parameters_digest="",
        term=term,
        shards=1,
        attempts=1,
        workers=1,
        started_at=datetime(2026, 3, 1, tzinfo=UTC),
        seconds=seconds,
    )


def evaluation(completed: int, accuracy: float | None) -> EvaluationRecord:
    return EvaluationRecord(
        run_id="run", completed_iterations=completed, images=10, loss=2.0, accuracy=accuracy
    )


def show_three() -> None:
    with Progress(9) as progress:
        for number in range(3):
            progress.show(iteration(number))
            progress.show_evaluation(evaluation(number + 1, 0.5 + number / 8))


def test_the_accuracy_is_a_line_now_and_then_and_the_last_one_is_never_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_three()
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "held-out" in line] == [
        "iteration 1/9  accuracy 50.0% on held-out images",
        "iteration 3/9  accuracy 75.0% on held-out images",
    ]


def test_the_time_left_comes_from_iterations_that_did_not_compile(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "LINE_SECONDS", 0.0)
    seconds = [30.0, 0.5, 0.5, 9.0, 0.5, 30.0, 0.5]  # the fourth is slow by accident
    terms = [1, 1, 1, 1, 1, 2, 2]  # another scheduler goes on with the sixth
    with Progress(100) as progress:
        for number, (long, term) in enumerate(zip(seconds, terms, strict=True)):
            progress.show(iteration(number, long, term))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "iteration 1/100  loss 1.5000, sum over 20 images  1 worker"
    assert lines[1] == "iteration 2/100  loss 1.5000  40 images/s  1 worker  49 s left"
    assert all("  40 images/s  " in line for line in lines[1:])
    assert lines[-1].endswith("  46 s left")


def test_an_iteration_of_fewer_images_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "LINE_SECONDS", 0.0)
    with Progress(9) as progress:
        for number, images in enumerate([4, 20, 4, 20]):
            progress.show(replace(iteration(number), images=images))
    lines = capsys.readouterr().err.splitlines()
    assert ["sum over" in line for line in lines] == [True, True, True, False]
    assert lines[2].startswith("iteration 3/9  loss 1.5000, sum over 4 images  ")


def test_the_accuracy_stands_beside_the_bar_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    show_three()
    shown = capsys.readouterr().err
    assert "held-out accuracy 75.0%" in shown
    assert shown.count("Each loss is the sum over 20 images of an iteration") == 1


def test_without_an_accuracy_the_loss_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(9) as progress:
        progress.show_evaluation(evaluation(1, None))
        progress.show(iteration(1))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "iteration 1/9  loss 2.0000 on held-out images"
