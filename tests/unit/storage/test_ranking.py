"""The best of a run's evaluations."""

from __future__ import annotations

from tapeworks.storage.records import EvaluationRecord, Metric, best


def evaluation(completed_iterations: int, loss: float, accuracy: float | None) -> EvaluationRecord:
    return EvaluationRecord(
        run_id="run",
        completed_iterations=completed_iterations,
        images=8,
        loss=loss,
        accuracy=accuracy,
    )


def test_the_lowest_loss_and_the_highest_accuracy_are_best_of_equals_the_earliest() -> None:
    evaluations = [
        evaluation(5, loss=4.0, accuracy=0.5),
        evaluation(10, loss=3.0, accuracy=0.75),
        evaluation(15, loss=2.0, accuracy=0.75),
        evaluation(20, loss=2.0, accuracy=0.5),
    ]

    assert best(evaluations, Metric.LOSS) == evaluations[2]
    assert best(evaluations[::-1], Metric.LOSS) == evaluations[2]
    assert best(evaluations, Metric.ACCURACY) == evaluations[1]


def test_of_no_evaluations_none_is_best() -> None:
    assert best([], Metric.LOSS) is None


def test_of_those_without_an_accuracy_none_is_the_most_accurate() -> None:
    evaluations = [evaluation(5, loss=1.0, accuracy=None), evaluation(10, loss=2.0, accuracy=None)]
    assert best(evaluations, Metric.ACCURACY) is None
    assert best(evaluations, Metric.LOSS) == evaluations[0]
    some = [*evaluations, evaluation(15, loss=3.0, accuracy=0.25)]
    assert best(some, Metric.ACCURACY) == some[2]
