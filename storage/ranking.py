"""Which of a run's evaluations is its best."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from tapeworks.storage.records import EvaluationRecord


class Metric(StrEnum):
    """What evaluations are compared by."""

    LOSS = "loss"  #: the lowest is best
    ACCURACY = "accuracy"  #: the highest is best

    def badness(self, evaluation: EvaluationRecord) -> float:
        """The number that is lowest for the best evaluation."""
        return evaluation.loss if self is Metric.LOSS else -evaluation.accuracy


def best(evaluations: Iterable[EvaluationRecord], metric: Metric) -> EvaluationRecord | None:
    """The best of one run's evaluations, of equals the earliest; None of none."""
    ranked = sorted(evaluations, key=lambda each: (metric.badness(each), each.completed_iterations))
    return ranked[0] if ranked else None
