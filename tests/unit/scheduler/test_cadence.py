"""Iterations after which parameters are evaluated and kept, and after which a run ends early."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tapeworks.model.config import RunConfig
from tapeworks.scheduler.cadence import (
    is_evaluated,
    is_kept,
    is_recorded,
    next_follows,
    reason_to_stop,
)
from tapeworks.storage.records import EvaluationRecord


def config(**values: int) -> RunConfig:
    return RunConfig.model_validate({"test_images": 5, "iterations": 10, **values})


def evaluations(losses: Sequence[float], every: int = 1) -> list[EvaluationRecord]:
    return [
        EvaluationRecord(
            run_id="run", completed_iterations=place * every, images=5, loss=loss, accuracy=0.5
        )
        for place, loss in enumerate(losses, start=1)
    ]


@pytest.mark.parametrize(
    ("every", "expected"), [(0, [10]), (1, list(range(1, 11))), (4, [4, 8, 10]), (50, [10])]
)
def test_parameters_are_evaluated_every_so_often_and_at_the_end(
    every: int, expected: list[int]
) -> None:
    evaluated = [done for done in range(11) if is_evaluated(config(evaluate_every=every), done)]

    assert evaluated == expected


def test_an_iteration_follows_at_once_unless_an_evaluation_is_due_or_it_is_the_last() -> None:
    following = [done for done in range(11) if next_follows(config(evaluate_every=4), done)]
    assert following == [0, 1, 2, 3, 5, 6, 7, 9]
    assert next_follows(config(evaluate_every=0), 4)


def test_without_held_out_images_nothing_is_evaluated() -> None:
    assert not is_evaluated(config(test_images=0), 10)


def test_what_is_evaluated_is_kept_beside_every_nth() -> None:
    kept = [
        done for done in range(11) if is_kept(config(checkpoint_every=4, evaluate_every=3), done)
    ]

    assert kept == [0, 3, 4, 6, 8, 9]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, list(range(10))),
        ({"record_images_every": 4}, [0, 3, 7, 9]),
        ({"record_images_every": 4, "evaluate_every": 3}, [0, 2, 3, 5, 7, 8, 9]),
        ({"record_images_every": 100, "test_images": 0}, [0, 9]),
        ({"images": 10_001, "iterations": 250}, [0, 99, 199, 249]),
        ({"images": 10_001, "record_images_every": 1}, list(range(10))),
    ],
)
def test_the_first_every_nth_the_evaluated_and_the_last_iteration_are_recorded(
    settings: dict[str, int], expected: list[int]
) -> None:
    chosen = config(**settings)

    recorded = [place for place in range(chosen.iterations) if is_recorded(chosen, place)]

    assert recorded == expected


@pytest.mark.parametrize(
    ("losses", "stops"),
    [
        ([], False),
        ([5.0], False),
        ([5.0, 6.0], False),
        ([5.0, 6.0, 5.5], True),
        ([5.0, 5.0, 5.0], True),  # as low as the best is not lower
        ([5.0, 6.0, 4.0], False),
        ([5.0, 4.0, 6.0, 4.5], True),  # lower than the last, but not than the best
        ([6.0, 5.0, 4.0], False),
    ],
)
def test_a_run_stops_when_its_patience_is_over(losses: list[float], stops: bool) -> None:
    patient = config(evaluate_every=1, patience=2)

    assert bool(reason_to_stop(patient, evaluations(losses))) is stops
    assert reason_to_stop(config(evaluate_every=1), evaluations(losses)) is None


def test_the_reason_names_the_iteration_of_the_lowest_loss() -> None:
    reason = reason_to_stop(
        config(evaluate_every=3, patience=2), evaluations([5.0, 4.0, 6.0, 4.0], every=3)
    )

    assert reason == "stopped early: the held-out loss has not fallen since iteration 6"


def test_the_last_iteration_is_no_early_end() -> None:
    losses = [1.0, *[2.0] * 9]

    assert reason_to_stop(config(evaluate_every=1, patience=9), evaluations(losses)) is None
    assert reason_to_stop(config(evaluate_every=1, patience=8), evaluations(losses[:9]))
